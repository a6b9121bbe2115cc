// A program for an init to run: notes the moment of its first instruction and of a SIGTERM.
//
//   probe BOARD MODE        or the variables PM_BOARD and PM_MODE, where an init gives no arguments
//
// sleep           ends at SIGTERM
// stubborn        ignores SIGTERM
// orphans:N       once the board says go: leaves N orphans behind, one after the other
// flood:BYTES     once the board says go: writes so many bytes of 100-byte lines to standard output
// file:PID_FILE   goes to the background and leaves its pid in PID_FILE, as a daemon does; then as `sleep`
#include "board.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static struct board *board;
static uint64_t places;

static void on_term(int signal) {
	(void)signal;
	stamp(board, places, TERM, now());
	_exit(0);
}

static void wait_for_go(void) {
	struct timespec pause = {0, 1000000};
	while (!__atomic_load_n(&board->go, __ATOMIC_ACQUIRE)) nanosleep(&pause, 0);
}

static void orphans(long count) {
	wait_for_go();
	for (long i = 0; i < count; i++) {
		pid_t between = fork();
		if (between < 0) _exit(114);
		if (between == 0) {
			pid_t orphan = fork();
			if (orphan < 0) _exit(1);
			if (orphan == 0) {
				// Its parent is gone once PID 1 has it; a signal that wakes a parent without need would be no orphan.
				while (getppid() != 1) usleep(10);
				__atomic_store_n(&board->last, now(), __ATOMIC_RELAXED);
				__atomic_fetch_add(&board->ended, 1, __ATOMIC_RELEASE);
				_exit(0);
			}
			__atomic_fetch_add(&board->born, 1, __ATOMIC_RELAXED);
			_exit(0);
		}
		int status;
		while (waitpid(between, &status, 0) < 0) {}
		if (status != 0) i--;
	}
}

// Blocks of 64 KiB, as the C library's buffer for a pipe would be; lines run across their borders.
static void flood(uint64_t bytes) {
	enum { BLOCK = 65536, LINE = 100 };
	static char text[BLOCK + LINE];
	for (int i = 0; i < BLOCK + LINE; i++) text[i] = i % LINE == LINE - 1 ? '\n' : (char)('a' + i % LINE % 26);
	wait_for_go();
	board->flooded = now();
	for (uint64_t sent = 0; sent < bytes;) {
		uint64_t left = bytes - sent, size = left < BLOCK ? left : BLOCK;
		ssize_t n = write(STDOUT_FILENO, text + sent % LINE, size);
		if (n <= 0) _exit(115);
		sent += (uint64_t)n;
		__atomic_store_n(&board->sent, sent, __ATOMIC_RELEASE);
	}
}

int main(int argc, char **argv) {
	uint64_t first = now();
	// s6 adds an argument of its own.
	const char *path = argc > 2 ? argv[1] : getenv("PM_BOARD");
	const char *mode = argc > 2 ? argv[2] : getenv("PM_MODE");
	if (!path || !mode) return 100;
	board = board_open(path, &places);
	struct sigaction action = {.sa_handler = strcmp(mode, "stubborn") == 0 ? SIG_IGN : on_term};
	sigaction(SIGTERM, &action, 0);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, 0);
	if (strncmp(mode, "file:", 5) == 0) {
		pid_t pid = fork();
		if (pid < 0) return 114;
		if (pid > 0) {
			FILE *file = fopen(mode + 5, "w");
			if (!file || fprintf(file, "%d\n", (int)pid) < 0 || fclose(file) != 0) return 116;
			return 0;
		}
	}
	stamp(board, places, FIRST, first);
	if (strncmp(mode, "orphans:", 8) == 0) orphans(atol(mode + 8));
	if (strncmp(mode, "flood:", 6) == 0) flood(strtoull(mode + 6, 0, 10));
	for (;;) pause();
}
