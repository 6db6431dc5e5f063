#!/usr/bin/env python3
"""The peer of bench_train_step: Hugging Face Trainer on the same shape, sentences, order and batch size. One JSON line.

    hf_trainer.py --shape minilm|distilbert --tokenizer FOLDER --train eng.train [--steps N] [--threads N]

The weights are random, for speed does not depend on them; dropout 0.1, AdamW, clipping and decay as Trainer has them by
default. Tokens are real ones: padding is work, but not result. Needs torch==2.13.0 transformers==5.17.0 accelerate.
"""
import argparse
import json
import os
import tempfile
import time

os.environ["HF_HUB_OFFLINE"] = "1"
import torch
import transformers
from transformers import (AutoTokenizer, BertConfig, BertForTokenClassification, DataCollatorForTokenClassification,
                          DistilBertConfig, DistilBertForTokenClassification, Trainer, TrainingArguments)

WARM, BATCH = 3, 8  # as bench_step.c


def model_of(shape):
    if shape == "distilbert":
        return DistilBertForTokenClassification(DistilBertConfig(vocab_size=28996, num_labels=9))
    return BertForTokenClassification(BertConfig(vocab_size=30522, hidden_size=384, num_hidden_layers=6, num_labels=9,
                                                 num_attention_heads=12, intermediate_size=1536))


def sentences(path, limit):
    words = []
    for line in open(path, encoding="utf-8"):
        fields = line.split()
        if fields and not line.startswith("-DOCSTART-"):
            words.append(fields[0])
            continue
        if words:
            yield words
            limit -= 1
        words = []
        if not limit:
            return


def encode(tokenizer, words, vocab_size):
    ids = [i % vocab_size for i in tokenizer(words, is_split_into_words=True)["input_ids"]]
    return {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": [-100] + [0] * (len(ids) - 2) + [-100]}


class Timed(Trainer):
    """Counts real tokens from step WARM on; the clock starts there too."""
    calls = tokens = 0
    started = None

    def training_step(self, model, inputs, *args, **kwargs):
        if self.calls == WARM:
            self.started = time.monotonic()
        if self.calls >= WARM:
            self.tokens += int(inputs["attention_mask"].sum())
        self.calls += 1
        return super().training_step(model, inputs, *args, **kwargs)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=["minilm", "distilbert"], required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--train", required=True)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    tokenizer, model = AutoTokenizer.from_pretrained(a.tokenizer), model_of(a.shape)
    rows = [encode(tokenizer, words, model.config.vocab_size) for words in sentences(a.train, a.steps * BATCH)]
    with tempfile.TemporaryDirectory() as folder:
        args = TrainingArguments(output_dir=folder, per_device_train_batch_size=BATCH, num_train_epochs=1, seed=42,
                                 learning_rate=2e-5, weight_decay=0.01, save_strategy="no", report_to=[], use_cpu=True,
                                 disable_tqdm=True)
        trainer = Timed(model=model, args=args, train_dataset=rows,
                        data_collator=DataCollatorForTokenClassification(tokenizer))
        trainer.train()
        seconds = time.monotonic() - trainer.started
    print(json.dumps({"peer": "hf_trainer", "shape": a.shape, "threads": a.threads, "batch": BATCH,
                      "steps": trainer.calls - WARM, "tokens_per_second": round(trainer.tokens / seconds),
                      "torch": torch.__version__, "transformers": transformers.__version__}))


if __name__ == "__main__":
    main()
