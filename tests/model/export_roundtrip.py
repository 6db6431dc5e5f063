#!/usr/bin/env python3
"""Does transformers load a folder that rl_model_save (relearn export) wrote, to the same logits?

    export_roundtrip.py --folder F --ids IDS.json --logits LOGITS.json [--tolerance 1e-5]

IDS.json: {"ids": [[...], ...]}, one list a sentence; LOGITS.json: {"logits": [[...], ...]}, one row a token, sentences end to end.
Exit 0: equal; 1: not; 77: torch or transformers is not importable here.
"""
import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a folder is all it may read
try:
    import torch
    from transformers import AutoModelForTokenClassification, AutoTokenizer
except ImportError as problem:
    print(f"SKIPPED: {problem} (torch and transformers are needed)")
    sys.exit(77)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--ids", type=Path, required=True)
    parser.add_argument("--logits", type=Path, required=True)
    parser.add_argument("--tolerance", type=float, default=1e-5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model, report = AutoModelForTokenClassification.from_pretrained(options.folder, output_loading_info=True)
    problems = [f"{k}: {sorted(v)}" for k, v in report.items() if k != "error_msgs" and v]
    model.eval()
    expected = torch.tensor(json.loads(options.logits.read_text())["logits"])
    rows = []
    with torch.no_grad():
        for ids in json.loads(options.ids.read_text())["ids"]:
            rows.append(model(input_ids=torch.tensor([ids])).logits[0])
    found = torch.cat(rows)
    if found.shape != expected.shape:
        problems.append(f"logits have the shape {list(found.shape)}; expected {list(expected.shape)}")
    else:
        worst = (found - expected).abs().max().item()
        print(f"largest difference of a logit: {worst:.3g}")
        if not worst <= options.tolerance:
            problems.append(f"a logit differs by {worst:.3g}; expected at most {options.tolerance:g}")
    config = model.config
    if [config.label2id[config.id2label[i]] for i in range(config.num_labels)] != list(range(config.num_labels)):
        problems.append("id2label and label2id do not agree")
    if (options.folder / "tokenizer.json").exists():
        AutoTokenizer.from_pretrained(options.folder)
    for problem in problems:
        print(f"{options.folder}: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
