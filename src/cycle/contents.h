/* contents.h -- digests of input files and model folders, cached by path. */
#ifndef RELEARN_CYCLE_CONTENTS_H
#define RELEARN_CYCLE_CONTENTS_H

#include "relearn/cycle.h"

/* Digest of a file's bytes or of a model folder's relevant files; valid until the next call that adds a path. */
rl_status rl_contents_digest(rl_contents *contents, const char *path, const char **hex, rl_error *err);
/* RL_ERR_INPUT when a path that has a digest holds something else by now; contents and path may be NULL. */
rl_status rl_contents_check(const rl_contents *contents, const char *path, rl_error *err);
/* A hash that has seen nothing yet; contents', and valid until the next call. */
rl_hash *rl_contents_hash(rl_contents *contents);

#endif
