// In the place of `postgres`: notes its start and the SIGINT that asks it to end, and looks ready to a supervisor.
// Beside it lie `real`, the server for questions such as --version, and `board`.
#include "board.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>

static struct board *board;
static uint64_t places;
static char file[4096];

static void on_int(int signal) {
	(void)signal;
	stamp(board, places, TERM, now());
	unlink(file);
	_exit(0);
}

int main(int argc, char **argv) {
	uint64_t first = now();
	static const char *questions[] = {"-V", "--version", "-C", "--single", "--boot", "--check", "--describe-config"};
	char path[4096], other[4200];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
	if (n <= 0) return 100;
	path[n] = 0;
	*strrchr(path, '/') = 0;
	const char *data = getenv("PGDATA");
	for (int i = 1; i < argc; i++) {
		for (size_t j = 0; j < sizeof questions / sizeof *questions; j++)
			if (strcmp(argv[i], questions[j]) == 0) {
				snprintf(other, sizeof other, "%s/real", path);
				execv(other, argv);
				return 113;
			}
		if (strcmp(argv[i], "-D") == 0 && i + 1 < argc) data = argv[i + 1];
	}
	if (!data) return 101;
	snprintf(other, sizeof other, "%s/board", path);
	board = board_open(other, &places);
	struct sigaction action = {.sa_handler = on_int};
	sigaction(SIGINT, &action, 0);
	sigaction(SIGTERM, &action, 0);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, 0);
	snprintf(file, sizeof file, "%s/postmaster.pid", data);
	FILE *f = fopen(file, "w");
	if (!f) return 102;
	fprintf(f, "%d\n%s\n%ld\n5432\n\n\n  0 0\nready   \n", (int)getpid(), data, (long)time(0));
	fclose(f);
	stamp(board, places, FIRST, first);
	for (;;) pause();
}
