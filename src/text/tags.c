/* tags.c -- the written form of a chunk tag. */
#include "text_internal.h"

#include <string.h>

bool text_tag_split(const char *tag, char *prefix, const char **type)
{
    if (strcmp(tag, "O") == 0) {
        *prefix = 'O';
        *type = "";
        return true;
    }
    if (tag[0] == '\0' || !strchr("BIESLU", tag[0]) || tag[1] != '-' || tag[2] == '\0') return false;
    *prefix = tag[0];
    *type = tag + 2;
    return true;
}
