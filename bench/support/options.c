#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

int bench_wrong(const char *program, const char *why)
{
    fprintf(stderr, "%s: %s; see --help\n", base_name(program), why);
    return 2;
}

static void print_help(const char *program, const char *what, const bench_option *options)
{
    printf("%s: %s\n\n", base_name(program), what);
    for (const bench_option *o = options; o->name; o++) {
        char head[40];
        snprintf(head, sizeof head, "%s%s", o->name, o->kind == BENCH_FLAG ? "" : o->kind == BENCH_TEXT ? " TEXT" : " N");
        printf("  %-20s %s", head, o->help);
        if (o->kind == BENCH_COUNT) printf(" (%lld)", (long long)*(int64_t *)o->value);
        if (o->kind == BENCH_REAL) printf(" (%g)", *(double *)o->value);
        printf("\n");
    }
    printf("  %-20s this text\n", "--help");
}

static bool in_range(const bench_option *o, double x) { return x >= o->least && (o->most == 0 || x <= o->most); }

static bool take(const bench_option *o, const char *text)
{
    char *end = NULL;
    switch (o->kind) {
    case BENCH_FLAG: *(bool *)o->value = true; return true;
    case BENCH_TEXT: *(const char **)o->value = text; return *text != '\0';
    case BENCH_COUNT: *(int64_t *)o->value = strtoll(text, &end, 10); return end != text && !*end && in_range(o, (double)*(int64_t *)o->value);
    case BENCH_REAL: *(double *)o->value = strtod(text, &end); return end != text && !*end && in_range(o, *(double *)o->value);
    }
    return false;
}

int bench_options(int argc, char **argv, const char *what, const bench_option *options)
{
    char why[200];
    for (int i = 1; i < argc; i++) {
        const bench_option *o = options;
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) return print_help(argv[0], what, options), 0;
        while (o->name && strcmp(o->name, argv[i])) o++;
        snprintf(why, sizeof why, "%s is no option", argv[i]);
        if (!o->name) return bench_wrong(argv[0], why);
        const char *text = o->kind == BENCH_FLAG ? "" : i + 1 < argc ? argv[++i] : "";
        snprintf(why, sizeof why, "%s: '%s' will not do", o->name, text);
        if (!take(o, text)) return bench_wrong(argv[0], why);
    }
    return -1;
}
