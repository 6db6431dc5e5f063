#!/usr/bin/env python3
"""Fine-tune with Hugging Face Trainer as protocol §3 says and print entity F1 after each epoch: what `relearn finetune` must equal.

    hf_finetune_f1.py --model FOLDER --train eng.train --validation eng.testa --epochs 5 --seed 42 --threads 1
One JSON line an epoch: word-level and sub-word F1 (seqeval). Needs torch==2.13.0 transformers==5.17.0 accelerate seqeval.
"""
import argparse
import json
import os
import tempfile
import time

os.environ["HF_HUB_OFFLINE"] = "1"
import numpy as np
import torch
from seqeval.metrics import f1_score
from transformers import (AutoModelForTokenClassification, AutoTokenizer, DataCollatorForTokenClassification, Trainer,
                          TrainerCallback, TrainingArguments)

p = argparse.ArgumentParser()
p.add_argument("--model", required=True)
p.add_argument("--train", required=True)
p.add_argument("--validation", required=True)
p.add_argument("--epochs", type=int, default=5)
p.add_argument("--seed", type=int, default=42)
p.add_argument("--threads", type=int, default=1)
a = p.parse_args()
torch.set_num_threads(a.threads)


def sentences(path):
    """CoNLL columns, IOB1 turned into IOB2."""
    words, tags = [], []
    for line in open(path, encoding="utf-8"):
        if line.startswith("-DOCSTART-") or not line.strip():
            if words:
                yield words, tags
            words, tags = [], []
            continue
        fields = line.split()
        tag, previous = fields[-1], tags[-1] if tags else "O"
        if tag.startswith("I-") and previous[2:] != tag[2:]:
            tag = "B-" + tag[2:]
        words.append(fields[0])
        tags.append(tag)
    if words:
        yield words, tags


LABELS = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC"]
index = {label: i for i, label in enumerate(LABELS)}
tokenizer = AutoTokenizer.from_pretrained(a.model)


def encode(data):
    rows = []
    for words, tags in data:
        e = tokenizer(words, is_split_into_words=True, truncation=True, max_length=512)
        labels, last = [], None
        for w in e.word_ids():
            if w is None:
                labels.append(-100)
            elif w != last:
                labels.append(index[tags[w]])
            else:  # protocol §1.1: every further sub-word carries a loss
                labels.append(index[tags[w]] + (index[tags[w]] % 2))
            last = w
        rows.append({"input_ids": e["input_ids"], "attention_mask": e["attention_mask"], "labels": labels})
    return rows


train, validation = list(sentences(a.train)), list(sentences(a.validation))
train_rows, validation_rows = encode(train), encode(validation)
first = [[None if w is None else (w, i) for i, w in enumerate(tokenizer(words, is_split_into_words=True, truncation=True,
          max_length=512).word_ids())] for words, _ in validation]
torch.manual_seed(a.seed)
model = AutoModelForTokenClassification.from_pretrained(a.model, num_labels=len(LABELS), id2label=dict(enumerate(LABELS)), label2id=index)


class Report(TrainerCallback):
    def on_epoch_end(self, args, state, control, **kw):
        model.eval()
        gold_words, predicted_words, gold_sub, predicted_sub = [], [], [], []
        with torch.no_grad():
            for row, (words, tags), places in zip(validation_rows, validation, first):
                logits = model(input_ids=torch.tensor([row["input_ids"]])).logits[0].numpy()
                best = np.argmax(logits, axis=1)
                tag_of = {}
                for place in places:
                    if place and place[0] not in tag_of:
                        tag_of[place[0]] = LABELS[best[place[1]]]
                gold_words.append(tags)
                predicted_words.append([tag_of.get(w, "O") for w in range(len(words))])
                kept = [i for i, label in enumerate(row["labels"]) if label != -100]
                gold_sub.append([LABELS[row["labels"][i]] for i in kept])
                predicted_sub.append([LABELS[best[i]] for i in kept])
        model.train()
        print(json.dumps({"seed": a.seed, "epoch": round(state.epoch), "f1": f1_score(gold_words, predicted_words),
                          "subword_f1": f1_score(gold_sub, predicted_sub), "seconds": round(time.time() - start, 1)}), flush=True)


arguments = TrainingArguments(output_dir=tempfile.mkdtemp(), per_device_train_batch_size=8, num_train_epochs=a.epochs,
                              learning_rate=2e-5, weight_decay=0.01, save_strategy="no", report_to=[], use_cpu=True,
                              disable_tqdm=True, seed=a.seed, logging_steps=500)
start = time.time()
Trainer(model=model, args=arguments, train_dataset=train_rows, data_collator=DataCollatorForTokenClassification(tokenizer),
        callbacks=[Report()]).train()
