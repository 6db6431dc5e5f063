#!/usr/bin/env bash
# run.sh BUILD_DIR SECONDS [TARGET...]: each libFuzzer program for so long, from seeds made of the tiny world and of a finished sweep over it.
# RELEARN_FUZZ_CORPUS=DIR keeps what was found in DIR/TARGET, and a later call goes on from there: an hour may be made of several calls.
set -euo pipefail
build=$(readlink -f "$1") seconds=$2 source=$(readlink -f "$(dirname "$0")/../..")
shift 2
[ $# -gt 0 ] || set -- conll concept_tokens concept_labels config safetensors tokenizer_json vocab vocab_json merges vectors_bin vectors_vec sweep journal shard checkpoint neuron_table stage_record \
    journal_sealed neuron_table_sealed stage_record_sealed
place=$(mktemp -d /tmp/relearn-fuzz.XXXXXX)
trap 'rm -rf "$place"' EXIT
export ASAN_OPTIONS=detect_leaks=0 OMP_NUM_THREADS=1
world=$("$build/tests/make_world" "$place")
(cd "$world" && "$build/relearn" run sweep.yaml --out done --set seed=0 > "$place/log" 2>&1) || { tail "$place/log" >&2; exit 1; }
seeds() { # TARGET
    case $1 in
    conll) echo "$world/train.conll" ;;
    concept_tokens) echo "$world/tokens.txt" ;;
    concept_labels) echo "$world/labels.txt" ;;
    config) echo "$world"/*/config.json ;;
    safetensors) ls "$world"/done/stages/*/model.safetensors | head -n 1 ;;
    vocab) echo "$world/tiny-bert/vocab.txt" ;;
    sweep) echo "$world/sweep.yaml $world/done/sweep.yaml $source"/sweeps/*.yaml "$source"/sweeps/quick/*.yaml ;;
    journal | journal_sealed) echo "$world/done/journal.jsonl" ;;
    shard) ls "$world"/done/runs/*.h5 | head -n 1 ;;
    neuron_table | neuron_table_sealed) ls "$world"/done/stages/*/neurons.bin | head -n 1 ;;
    stage_record | stage_record_sealed) ls "$world"/done/stages/*/stage.json | head -n 1 ;;
    tokenizer_json) echo "$place/tokenizer.json $source"/tests/golden/text/*/tokenizer.json ;;
    vocab_json) echo "$place/vocab.json $source"/tests/golden/text/*/vocab.json ;;
    merges) echo "$place/merges.txt $source"/tests/golden/text/*/merges.txt ;;
    vectors_bin) echo "$source/tests/golden/text/fasttext.bin" ;;
    vectors_vec) echo "$place/vectors.vec" ;;
    esac
}
printf '#version: 0.2\na b\n' > "$place/merges.txt"
printf '{"a": 0, "b": 1, "ab": 2, "<|endoftext|>": 3}' > "$place/vocab.json"
printf '3 2\nthe 0.5 -1e-3\ncat 1 2\n\303\251 3 4\n' > "$place/vectors.vec"
cat > "$place/tokenizer.json" <<'JSON'
{"version":"1.0","added_tokens":[{"id":0,"content":"[PAD]","special":true}],"normalizer":{"type":"BertNormalizer","lowercase":true},
"pre_tokenizer":{"type":"BertPreTokenizer"},"model":{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##",
"max_input_chars_per_word":100,"vocab":{"[PAD]":0,"[UNK]":1,"[CLS]":2,"[SEP]":3,"[MASK]":4,"a":5,"##b":6}}}
JSON
failed=0
for target in "$@"; do
    corpus=${RELEARN_FUZZ_CORPUS:-$place/corpus}/$target
    mkdir -p "$corpus"
    for seed in $(seeds "$target"); do [ ! -f "$seed" ] || cp "$seed" "$corpus/$(basename "$(dirname "$seed")")-$(basename "$seed")"; done
    if ASAN_OPTIONS=detect_leaks=1 "$build/tests/fuzz_$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=4096 -max_len=16384 -verbosity=0 \
        -print_final_stats=1 -artifact_prefix="/tmp/relearn-fuzz-$target-" "$corpus" > "$place/$target.log" 2>&1; then
        echo "ok    $target: $(awk '/number_of_executed_units/ {print $2}' "$place/$target.log") inputs in $seconds s"
    else
        echo "FAIL  $target"
        grep -E 'ERROR|runtime error|SUMMARY|artifact|#[0-6] ' "$place/$target.log" | head -n 25
        failed=1
    fi
done
exit $failed
