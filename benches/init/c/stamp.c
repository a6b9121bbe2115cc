// stamp BOARD PROGRAM ARG...: notes the moment and becomes PROGRAM. PID 1 of the namespace runs it first.
#include "board.h"

int main(int argc, char **argv) {
	if (argc < 3) return 100;
	uint64_t places;
	struct board *board = board_open(argv[1], &places);
	setsid(); // as a container's PID 1
	stamp(board, places, EXEC, now());
	execv(argv[2], argv + 2);
	return 113;
}
