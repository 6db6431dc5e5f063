/* store_digest RESULTS.h5...: the digest of each (rl_store_digest: everything but wall times), for scripts that compare stores. */
#include "relearn/store.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    MPI_Init(NULL, NULL);
    int bad = argc < 2;
    for (int i = 1; i < argc; i++) {
        rl_error err = {0};
        char hex[RL_DIGEST_HEX];
        if (rl_store_digest(argv[i], hex, &err) == RL_OK) {
            printf("%s  %s\n", hex, argv[i]);
        } else {
            fprintf(stderr, "store_digest: %s\n", err.message);
            bad = 1;
        }
    }
    MPI_Finalize();
    return bad;
}
