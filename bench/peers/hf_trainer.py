#!/usr/bin/env python3
"""The peer of bench_train_step: Hugging Face Trainer on the same shape, sentences, order and batch size. One JSON line.

    hf_trainer.py --shape minilm|distilbert --tokenizer FOLDER --train eng.train [--steps N] [--threads N]

The weights are random, for speed does not depend on them; dropout 0.1, AdamW, clipping and decay as Trainer has them by
default. Tokens are real ones: padding is work, but not result. Needs torch==2.13.0 transformers==5.17.0 accelerate.
"""
import json
import tempfile
import time

from peer import BATCH, WARM, load, options  # first: it keeps transformers offline
import torch
import transformers
from transformers import DataCollatorForTokenClassification, Trainer, TrainingArguments


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
    a = options(__doc__).parse_args()
    tokenizer, model, rows = load(a)
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
