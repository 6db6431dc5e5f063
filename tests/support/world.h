/* world.h -- a tiny complete world for tests: a random model folder, NER files and a concept corpus, all real files
 * that go through the ordinary readers. A cycle on it takes well under a second. */
#ifndef RELEARN_TEST_WORLD_H
#define RELEARN_TEST_WORLD_H

typedef struct support_world {
    char folder[512];
    char model[600], broken_model[600];      /* Hub folders; the broken one's config.json is cut short */
    char train[600], validation[600], test[600], tokens[600], labels[600];
    char sweep[600];                          /* a sweep file over them: 2 seeds x {concept, random}, 2 rounds */
} support_world;
/* Made under support_temporary_folder()/NAME. */
void support_make_world(support_world *world, const char *name);

#endif
