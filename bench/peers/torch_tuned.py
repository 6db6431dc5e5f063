#!/usr/bin/env python3
"""PyTorch by hand, as fast as we know how to make it: no Trainer; sentences bucketed by length, so that batches pad little; fused AdamW; torch.compile
with dynamic shapes where it works (--compile). One JSON line.

    torch_tuned.py --shape minilm|distilbert --tokenizer FOLDER --train eng.train [--steps N] [--threads N] [--compile]

Same shape, sentences and batch size as hf_trainer.py, but not the same order: bucketing gives other batches, so this training is a different one.
Tokens are real ones. Needs torch==2.13.0 transformers==5.17.0; --compile needs a C++ compiler.
"""
import json
import time

from peer import BATCH, WARM, load, options
import torch


def batches(rows, generator):
    """Neighbours in length share a batch; batches come in random order."""
    rows = sorted(rows, key=lambda r: len(r["input_ids"]))
    groups = [rows[i:i + BATCH] for i in range(0, len(rows), BATCH)]
    return [groups[i] for i in torch.randperm(len(groups), generator=generator)]


def pad(group):
    width = max(len(r["input_ids"]) for r in group)
    fill = {"input_ids": 0, "attention_mask": 0, "labels": -100}
    return {k: torch.tensor([r[k] + [v] * (width - len(r[k])) for r in group]) for k, v in fill.items()}


def optimizer_of(model):
    plain = [p for n, p in model.named_parameters() if n.endswith("bias") or "LayerNorm" in n or "layer_norm" in n]
    ids = {id(p) for p in plain}
    decayed = [p for p in model.parameters() if id(p) not in ids]
    return torch.optim.AdamW([{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}], lr=2e-5, fused=True)


def main():
    parser = options(__doc__)
    parser.add_argument("--compile", action="store_true")
    a = parser.parse_args()
    torch.manual_seed(42)
    _, model, rows = load(a)
    model.train()
    optimizer, data = optimizer_of(model), [pad(g) for g in batches(rows, torch.Generator().manual_seed(42))]
    step_model = torch.compile(model, dynamic=True) if a.compile else model
    tokens, started = 0, None
    for i, batch in enumerate(data):
        if i == WARM:
            started = time.monotonic()
        optimizer.zero_grad(set_to_none=True)
        step_model(**batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        tokens += int(batch["attention_mask"].sum()) if i >= WARM else 0
    seconds = time.monotonic() - started
    print(json.dumps({"peer": "torch_tuned", "shape": a.shape, "threads": a.threads, "compiled": a.compile, "batch": BATCH, "steps": len(data) - WARM,
                      "tokens_per_second": round(tokens / seconds), "torch": torch.__version__}))


if __name__ == "__main__":
    main()
