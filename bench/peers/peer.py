"""What the PyTorch peers share: the two shapes, the sentences of the training file as one shape's ids, and the options."""
import argparse
import os

os.environ["HF_HUB_OFFLINE"] = "1"
import torch
from transformers import AutoTokenizer, BertConfig, BertForTokenClassification, DistilBertConfig, DistilBertForTokenClassification

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


def options(doc):
    """The parser; a peer adds what is its own."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=["minilm", "distilbert"], required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--train", required=True)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2)
    return parser


def load(a):
    """tokenizer, model, rows of `steps` batches; PyTorch has its threads."""
    torch.set_num_threads(a.threads)
    tokenizer, model = AutoTokenizer.from_pretrained(a.tokenizer), model_of(a.shape)
    return tokenizer, model, [encode(tokenizer, words, model.config.vocab_size) for words in sentences(a.train, a.steps * BATCH)]
