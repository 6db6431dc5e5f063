/* make_world DIR: writes the tiny world of world.h into DIR/world, for the scripts that drive the program. */
#include "support.h"
#include "world.h"

int main(int argc, char **argv)
{
    support_world world;
    rl_error err = {0};
    if (argc != 2) return 2;
    support_set_folder(argv[1]);
    support_make_world(&world, "world");
    /* A third model, equal to the first but for its name: a grid over models. */
    char to[1024], from[1024];
    snprintf(to, sizeof to, "%s/other-bert", world.folder);
    if (rl_make_directories(to, &err) != RL_OK) return 1;
    static const char *const files[] = {"config.json", "vocab.txt", "tokenizer_config.json"};
    for (int i = 0; i < 3; i++) {
        snprintf(from, sizeof from, "%s/%s", world.model, files[i]);
        snprintf(to, sizeof to, "%s/other-bert/%s", world.folder, files[i]);
        if (rl_copy_file(from, to, &err) != RL_OK) return 1;
    }
    printf("%s\n", world.folder);
    return 0;
}
