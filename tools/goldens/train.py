#!/usr/bin/env python3
"""Goldens of the train room: what Hugging Face's Trainer itself does, step by step.

    train.py small                                     -> corpus.conll, bert, distilbert, roberta, gpt2, trajectories.json
    train.py bf16                                      -> trajectories_bf16.json
    train.py minilm --model FOLDER --train eng.train   -> minilm_conll.json        (all in tests/golden/train)

small:  a 2-layer model of each family with random weights on a corpus written here: 100 steps (10 epochs of 10, the
        last batch short) of Trainer with its own shuffling, clipping, warm-up and decay; then eval_loss, seqeval's F1
        on sub-words and every tensor's norm.
bf16:   the same trainings under Trainer's bf16=True (torch.autocast on the CPU), losses and norms only: how far from
        float32 PyTorch itself goes.
minilm: MiniLM with the head 0.02 sin(0.7 k), CoNLL-2003 in file order, the first 100 of 3 epochs' steps. Only losses,
        norms and learning rates are written: neither text nor weights.
Dropout is 0 in both, for no two programs draw the same masks.
Needs torch==2.13.0 transformers==5.17.0 accelerate seqeval.
"""
import argparse
import json
import math
import os
import random
import re
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
import torch
from seqeval.metrics import f1_score
from transformers import (AutoModelForTokenClassification, AutoTokenizer, BertConfig, BertForTokenClassification,
                          DataCollatorForTokenClassification, DistilBertConfig, DistilBertForTokenClassification,
                          GPT2Config, GPT2ForTokenClassification, RobertaConfig, RobertaForTokenClassification, Trainer,
                          TrainerCallback, TrainingArguments)

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "..", "..", "tests", "golden", "train")
LABELS = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC"]
LABEL_IDS = {"id2label": dict(enumerate(LABELS)), "label2id": {label: i for i, label in enumerate(LABELS)}}


def read_conll(path):
    """Sentences of (words, IOB2 tags); IOB1's I-T after O or another type becomes B-T."""
    words, tags = [], []
    for line in open(path, encoding="utf-8"):
        fields = line.split()
        if not fields or line.startswith("-DOCSTART-"):
            if words:
                yield words, iob2(tags)
            words, tags = [], []
        else:
            words.append(fields[0])
            tags.append(fields[-1])
    if words:
        yield words, iob2(tags)


def iob2(tags):
    out, previous = [], "O"
    for tag in tags:
        starts = tag[0] == "I" and (previous == "O" or previous[2:] != tag[2:])
        out.append("B" + tag[1:] if starts else tag)
        previous = tag
    return out


def encode(tokenizer, sentences):
    """Protocol 1.1: every sub-word carries a label, the further ones of a B- word its I-."""
    rows = []
    for words, tags in sentences:
        encoding = tokenizer(words, is_split_into_words=True, truncation=True, max_length=512)
        labels, previous = [], None
        for word in encoding.word_ids():
            label = -100 if word is None else LABELS.index(tags[word])
            labels.append(label + 1 if word is not None and word == previous and label % 2 == 1 else label)
            previous = word
        rows.append({**{k: encoding[k] for k in ("input_ids", "attention_mask")}, "labels": labels})
    return rows


class Stop(TrainerCallback):
    def __init__(self, steps):
        self.steps = steps

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step >= self.steps


class Recorder(Trainer):
    """Trainer that keeps each step's loss, norm before clipping and learning rate at full precision."""

    def __init__(self, *args, in_order=False, **kwargs):
        super().__init__(*args, **kwargs)
        self.in_order = in_order
        self.record = {"loss": [], "grad_norm": [], "learning_rate": []}

    def _get_train_sampler(self, *args, **kwargs):
        return torch.utils.data.SequentialSampler(self.train_dataset) if self.in_order \
            else super()._get_train_sampler(*args, **kwargs)

    def training_step(self, *args, **kwargs):
        loss = super().training_step(*args, **kwargs)
        self.record["loss"].append(float(loss))
        norm = torch.sqrt(sum((p.grad.double() ** 2).sum() for p in self.model.parameters() if p.grad is not None))
        self.record["grad_norm"].append(float(norm))
        self.record["learning_rate"].append(self.optimizer.param_groups[0]["lr"])
        return loss


def train(model, tokenizer, rows, steps=None, in_order=False, **arguments):
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as folder:
        args = TrainingArguments(output_dir=folder, per_device_train_batch_size=8, per_device_eval_batch_size=8,
                                 seed=42, save_strategy="no", report_to=[], use_cpu=True, disable_tqdm=True,
                                 weight_decay=0.01, **arguments)
        trainer = Recorder(model=model, args=args, train_dataset=rows, in_order=in_order,
                           data_collator=DataCollatorForTokenClassification(tokenizer),
                           callbacks=[Stop(steps)] if steps else [])
        trainer.train()
    return trainer


def rounded(values):
    return [float(f"{v:.9g}") for v in values]


def write_json(name, out):
    """Indented, but each list of numbers on one line."""
    text = re.sub(r"\[[^\[\]{}]*\]", lambda m: re.sub(r"\s+", " ", m.group(0)), json.dumps(out, indent=1))
    with open(os.path.join(GOLDEN, name), "w", encoding="utf-8") as file:
        file.write(text + "\n")


# ------------------------------------------------------------------------------------------------------- small

FIRST = ["Anna", "Jonas", "Mehmet", "Chiara", "Oluwaseun"]
LAST = ["Berg", "Lindgren", "Rossi", "Adeyemi", "Castellano"]
PLACES = ["Oslo", "Lagos", "New York", "Heidelberg", "Sao Paulo", "Turin"]
ORGS = ["Siemens", "Nordbank", "Radio Norte", "Unilab"]
MISC = ["Danish", "Kenyan", "World Cup"]
FRAMES = ["{P} visited {L} .", "{P} of {O} flew to {L} on Monday .", "{O} opened an office in {L} .",
          "The {M} team from {L} met {P} .", "{L} , {L} and {L} were cold .", "Nothing happened .",
          "{P} and {P} left {O} for {O} .", "In {L} the {M} press quoted {P} , who denied it ."]
PIECES = ("[PAD] [UNK] [CLS] [SEP] [MASK] . , The the In in of on and to from for an were who it visited "
          "flew opened office team met cold Nothing happened left press quoted denied Monday Anna Jonas Me "
          "##hm ##et Chi ##ara Olu ##wa ##seun Berg Lind ##gren Rossi Ad ##ey ##emi Castell ##ano Oslo "
          "Lagos New York He ##idel ##berg Sao Paulo Turin Sie ##mens Nord ##bank Radio Nor ##te Uni ##lab "
          "Danish Ken ##yan World Cup").split()


def phrase(rng, slot):
    if slot == "P":
        return [(rng.choice(FIRST), "B-PER"), (rng.choice(LAST), "I-PER")][: rng.choice([1, 2, 2])]
    kind, source = {"L": ("LOC", PLACES), "O": ("ORG", ORGS), "M": ("MISC", MISC)}[slot]
    words = rng.choice(source).split()
    return [(word, ("I-" if i else "B-") + kind) for i, word in enumerate(words)]


def write_corpus(path, count):
    rng = random.Random(7)
    with open(path, "w", encoding="utf-8") as out:
        for i in range(count):
            for part in FRAMES[i % len(FRAMES)].split():
                slot = part[1] if part.startswith("{") else None
                for word, tag in phrase(rng, slot) if slot else [(part, "O")]:
                    out.write(f"{word} {tag}\n")
            out.write("\n")


def save_small(name, model, folder):
    os.makedirs(folder, exist_ok=True)
    model.save_pretrained(folder)
    with open(os.path.join(folder, "vocab.txt"), "w", encoding="utf-8") as out:
        out.write("\n".join(PIECES) + "\n")
    with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as out:
        json.dump({"do_lower_case": False, "model_max_length": 64, "tokenizer_class": "BertTokenizer"}, out, indent=1)


def small_models():
    labels = dict(LABEL_IDS, vocab_size=len(PIECES), max_position_embeddings=64, initializer_range=0.1)
    torch.manual_seed(1)
    yield "bert", BertForTokenClassification(BertConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, **labels)), dict(learning_rate=5e-3, warmup_steps=10)
    torch.manual_seed(2)
    yield "distilbert", DistilBertForTokenClassification(DistilBertConfig(
        dim=24, n_layers=2, n_heads=3, hidden_dim=40, dropout=0.0, attention_dropout=0.0, **labels)), \
        dict(learning_rate=3e-3, warmup_steps=0)
    torch.manual_seed(3)  # the WordPiece vocabulary, padding token 0: positions begin at 1
    yield "roberta", RobertaForTokenClassification(RobertaConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, type_vocab_size=1, layer_norm_eps=1e-5, pad_token_id=0, **labels)), \
        dict(learning_rate=3e-3, warmup_steps=5)
    torch.manual_seed(4)
    yield "gpt2", GPT2ForTokenClassification(GPT2Config(
        n_embd=24, n_layer=2, n_head=3, n_inner=40, n_positions=64, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        classifier_dropout=0.0, pad_token_id=0, bos_token_id=None, eos_token_id=None,
        **{k: v for k, v in labels.items() if k != "max_position_embeddings"})), dict(learning_rate=3e-3, warmup_steps=10)


def sub_word_f1(trainer, rows):
    best = trainer.predict(rows).predictions.argmax(-1)
    gold = [[LABELS[y] for y in row["labels"] if y != -100] for row in rows]
    tags = [[LABELS[best[i][t]] for t, y in enumerate(row["labels"]) if y != -100] for i, row in enumerate(rows)]
    return f1_score(gold, tags)


def make_small():
    os.makedirs(GOLDEN, exist_ok=True)
    corpus = os.path.join(GOLDEN, "corpus.conll")
    write_corpus(corpus, 76)
    out = {"epochs": 10, "seed": 42, "batch_size": 8, "weight_decay": 0.01, "max_grad_norm": 1.0}
    for name, model, arguments in small_models():
        folder = os.path.join(GOLDEN, name)
        save_small(name, model, folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        rows = encode(tokenizer, read_conll(corpus))
        assert all(1 not in row["input_ids"] for row in rows), "a word of the corpus is not in the vocabulary"
        trainer = train(model, tokenizer, rows, num_train_epochs=10, lr_scheduler_type="linear", **arguments)
        record = {key: rounded(values) for key, values in trainer.record.items()}
        record["tensor_norms"] = {key: rounded([p.detach().double().norm()])[0] for key, p in model.named_parameters()}
        record["eval_loss"] = trainer.evaluate(rows)["eval_loss"]
        record["eval_subword_f1"] = sub_word_f1(trainer, rows)
        out[name] = {"learning_rate_setting": arguments["learning_rate"],
                     "warmup_steps": arguments["warmup_steps"], **record}
        print(name, "loss", record["loss"][0], "->", record["loss"][-1], "norms over 1:",
              sum(n > 1 for n in record["grad_norm"]), "of", len(record["grad_norm"]), "f1", record["eval_subword_f1"])
    write_json("trajectories.json", out)


def make_bf16():
    out = {}
    for name, model, arguments in small_models():
        tokenizer = AutoTokenizer.from_pretrained(os.path.join(GOLDEN, name))
        rows = encode(tokenizer, read_conll(os.path.join(GOLDEN, "corpus.conll")))
        trainer = train(model, tokenizer, rows, num_train_epochs=10, lr_scheduler_type="linear", bf16=True, **arguments)
        out[name] = {key: rounded(trainer.record[key]) for key in ("loss", "grad_norm")}
    write_json("trajectories_bf16.json", out)


# ------------------------------------------------------------------------------------------------------ MiniLM


def make_minilm(folder, data):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = encode(tokenizer, read_conll(data))
    model = AutoModelForTokenClassification.from_pretrained(
        folder, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, classifier_dropout=0.0, **LABEL_IDS)
    with torch.no_grad():
        head = model.classifier.weight
        head.copy_(torch.tensor([0.02 * math.sin(0.7 * k) for k in range(head.numel())]).view_as(head))
        model.classifier.bias.zero_()
    trainer = train(model, tokenizer, rows, steps=100, in_order=True, num_train_epochs=3, learning_rate=2e-5,
                    lr_scheduler_type="linear")
    record = {key: rounded(values) for key, values in trainer.record.items()}
    record["tokens"] = [sum(len(row["input_ids"]) for row in rows[8 * k:8 * k + 8]) for k in range(100)]
    write_json("minilm_conll.json", {"sentences": len(rows), "epochs": 3, **record})
    print("minilm loss", record["loss"][0], "->", record["loss"][-1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["small", "bf16", "minilm"])
    parser.add_argument("--model")
    parser.add_argument("--train")
    a = parser.parse_args()
    if a.what == "minilm":
        make_minilm(a.model, a.train)
    else:
        make_small() if a.what == "small" else make_bf16()
