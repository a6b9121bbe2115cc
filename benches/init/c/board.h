// The board: a file on a tmpfs that every process of a run maps, and the bench reads. See ../board.rs.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { EXEC = 1, FIRST = 2, TERM = 3 };

struct entry {
	uint64_t ns;
	uint32_t kind; // 0 until the rest is written
	uint32_t pid;
};

struct board {
	uint64_t entries; // how many places are taken
	uint64_t born;    // orphans made
	uint64_t ended;   // orphans about to end
	uint64_t last;    // when the last of them was
	uint64_t go;      // the bench says that work may begin
	uint64_t sent;    // bytes written by a flood
	uint64_t flooded; // when its first byte was
	uint64_t spare;
	struct entry entry[];
};

static inline uint64_t now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline struct board *board_open(const char *path, uint64_t *places) {
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) != 0) _exit(111);
	struct board *board = mmap(0, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (board == MAP_FAILED) _exit(112);
	close(fd);
	*places = ((uint64_t)st.st_size - sizeof *board) / sizeof(struct entry);
	return board;
}

static inline void stamp(struct board *board, uint64_t places, uint32_t kind, uint64_t ns) {
	uint64_t place = __atomic_fetch_add(&board->entries, 1, __ATOMIC_RELAXED);
	if (place >= places) return;
	board->entry[place].ns = ns;
	board->entry[place].pid = (uint32_t)getpid();
	__atomic_store_n(&board->entry[place].kind, kind, __ATOMIC_RELEASE);
}
