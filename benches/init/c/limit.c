// limit COPIES KILL_AFTER_MS FILE PROGRAM ARG...: the least that an init can do. It forks and executes COPIES of
// PROGRAM, waits, starts what has died again, reaps whatever is orphaned, passes SIGTERM on, and kills after
// KILL_AFTER_MS (0: never). With a FILE other than "-", a plain pump carries the programs' output into it.
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static sigset_t set;
static char **command;
static int out = -1;

static pid_t start(void) {
	pid_t pid = fork();
	if (pid == 0) {
		sigprocmask(SIG_UNBLOCK, &set, 0);
		setsid();
		if (out >= 0) dup2(out, STDOUT_FILENO);
		execv(command[0], command);
		_exit(127);
	}
	return pid;
}

static pid_t pump(const char *file) {
	int ends[2], to = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (to < 0 || pipe2(ends, O_CLOEXEC) != 0) _exit(101);
	pid_t pid = fork();
	if (pid == 0) {
		static char buffer[65536];
		ssize_t n;
		close(ends[1]);
		while ((n = read(ends[0], buffer, sizeof buffer)) > 0)
			for (ssize_t done = 0, m; done < n; done += m)
				if ((m = write(to, buffer + done, (size_t)(n - done))) <= 0) _exit(102);
		_exit(0);
	}
	close(ends[0]);
	close(to);
	out = ends[1];
	return pid;
}

int main(int argc, char **argv) {
	if (argc < 5) return 100;
	int copies = atoi(argv[1]), left, stopping = 0;
	long kill_after = atol(argv[2]);
	command = argv + 4;
	pid_t *pids = calloc((size_t)copies, sizeof *pids);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, 0);
	if (strcmp(argv[3], "-") != 0) pump(argv[3]);
	for (int i = 0; i < copies; i++) pids[i] = start();
	left = copies;
	while (left > 0) {
		struct timespec span = {kill_after / 1000, kill_after % 1000 * 1000000};
		int signal = sigtimedwait(&set, 0, stopping && kill_after ? &span : 0);
		if (signal == SIGTERM) {
			stopping = 1;
			for (int i = 0; i < copies; i++)
				if (pids[i] > 0) kill(pids[i], SIGTERM);
		} else if (signal < 0 && stopping) {
			for (int i = 0; i < copies; i++)
				if (pids[i] > 0) kill(pids[i], SIGKILL);
		}
		pid_t pid;
		while ((pid = waitpid(-1, 0, WNOHANG)) > 0)
			for (int i = 0; i < copies; i++)
				if (pids[i] == pid) {
					pids[i] = stopping ? 0 : start();
					left -= stopping;
					break;
				}
	}
	return 0;
}
