#!/usr/bin/env python3
"""What transformers draws a fresh model of each family from: mean and deviation of every tensor, and its rows of zeros.

    /opt/rl/venv/bin/python tools/goldens/initial.py      needs torch==2.13.0, transformers==5.17.0

Pools 40 seeds, so that a deviation is known 40 times as well as one model shows it. Writes tests/golden/model/initial.json.
"""
import json
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForTokenClassification

OUT = Path(__file__).resolve().parents[2] / "tests" / "golden" / "model" / "initial.json"
BERT = {"vocab_size": 120, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
        "max_position_embeddings": 40, "initializer_range": 0.05, "hidden_act": "gelu"}
FAMILIES = {
    "bert": {**BERT, "type_vocab_size": 2, "pad_token_id": 0},
    "distilbert": {"vocab_size": 120, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": 40,
                   "initializer_range": 0.05, "activation": "gelu", "pad_token_id": 0, "sinusoidal_pos_embds": False},
    "electra": {**BERT, "embedding_size": 32, "type_vocab_size": 2, "pad_token_id": 0},
    "roberta": {**BERT, "type_vocab_size": 1, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2},
    "gpt2": {"vocab_size": 120, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_inner": 48, "n_positions": 40, "initializer_range": 0.05,
             "activation_function": "gelu_new", "bos_token_id": 119, "eos_token_id": 119},
}
LABELS = ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]


def drawn(family, settings, seeds=40):
    config = AutoConfig.for_model(family, **settings, id2label=dict(enumerate(LABELS)), label2id={l: i for i, l in enumerate(LABELS)})
    pooled = {}
    for seed in range(seeds):
        torch.manual_seed(seed)
        for name, tensor in AutoModelForTokenClassification.from_config(config).named_parameters():
            pooled.setdefault(name, []).append(tensor.detach().double())
    tensors = {}
    for name, draws in pooled.items():
        x = torch.stack(draws)
        zero_rows = [r for r in range(x.shape[1]) if not x[:, r].any()] if x.dim() == 3 else []
        kept = x[:, [r for r in range(x.shape[1]) if r not in zero_rows]]
        tensors[name] = {"shape": list(x.shape[1:]), "mean": float(kept.mean()), "sd": float(kept.std(correction=0)), "zero_rows": zero_rows}
    return {"config": {"model_type": family, "architectures": [], **settings, "relearn_random_init": 11,
                       "id2label": {str(i): l for i, l in enumerate(LABELS)}, "label2id": {l: i for i, l in enumerate(LABELS)}},
            "tensors": tensors}


def main():
    golden = {family: drawn(family, settings) for family, settings in FAMILIES.items()}
    architectures = {"bert": "Bert", "distilbert": "DistilBert", "electra": "Electra", "roberta": "Roberta", "gpt2": "GPT2"}
    for family, name in architectures.items():
        golden[family]["config"]["architectures"] = [f"{name}ForTokenClassification"]
    OUT.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    print({family: len(g["tensors"]) for family, g in golden.items()})


if __name__ == "__main__":
    main()
