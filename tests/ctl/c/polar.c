/* What PolarDB's polar_force_trans_ro_non_sup does, for a PostgreSQL of release VERSION / 100 (15 or later): a library of
 * shared_preload_libraries. The server's headers are not among what the tests need, so what is used of them is declared
 * here. */
#include <stdbool.h>
#include <stddef.h>

typedef struct {
    int length, version, arguments, index_keys, name_length, float8_by_value;
    char abi[32];
} Magic;

const Magic *Pg_magic_func(void) {
    static const Magic magic = {sizeof(Magic), VERSION, 100, 32, 64, 1, "PostgreSQL"};
    return &magic;
}

extern bool XactReadOnly;
extern void (*ExecutorStart_hook)(void *query, int flags);
extern void standard_ExecutorStart(void *query, int flags);
extern bool superuser(void);
extern void DefineCustomBoolVariable(const char *name, const char *shortly, const char *at_length, bool *value, bool boot,
                                     int context, int flags, void *check, void *assign, void *show);

static bool forced;

static void start(void *query, int flags) {
    if (forced && !superuser())
        XactReadOnly = true;
    standard_ExecutorStart(query, flags);
}

void _PG_init(void) {
    /* 2: PGC_SIGHUP */
    DefineCustomBoolVariable("polar_force_trans_ro_non_sup", "as PolarDB has it", NULL, &forced, false, 2, 0, NULL, NULL, NULL);
#ifndef DEAF
    ExecutorStart_hook = start;
#else
    (void)start;
#endif
}
