"""A BLIP of some thousand weights, drawn by chance, with a vocabulary of its own, as a folder on disk."""

import json
import warnings

import torch

from wsi_patches.morphology import SEVEN

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = (
    "a", "an", "and", "cell", "cells", "of", "the", "type", "with", "without", "nucleus", "chromatin", "nucleoli",
    "cytoplasm", "basophilic", "slightly", "moderately", "vacuoles", ",", ".",
)  # fmt: skip
SIDE_PX = 32


def write_tiny_blip(folder, seed=0):
    """Write the folder; captions of `wsi_patches.morphology` are in its vocabulary."""
    from transformers import BlipConfig, BlipForConditionalGeneration

    values = [value for one in SEVEN for value in one.values]
    words = list(dict.fromkeys((*SPECIAL, *WORDS, *values)))
    text = {
        "vocab_size": len(words) + 1, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "encoder_hidden_size": 32, "max_position_embeddings": 64, "projection_dim": 16,
        "bos_token_id": len(words), "eos_token_id": 2, "sep_token_id": 3, "pad_token_id": 0,
        "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
    }  # fmt: skip
    vision = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
        "image_size": SIDE_PX, "patch_size": 8, "projection_dim": 16, "initializer_range": 0.2,
    }  # fmt: skip
    torch.manual_seed(seed)
    blip = BlipForConditionalGeneration(BlipConfig(text_config=text, vision_config=vision, projection_dim=16))
    with torch.no_grad():  # of a network that learnt nothing, weights as large as those of one that did
        for one in blip.text_decoder.parameters():
            if one.ndim > 1:
                one.mul_(6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        blip.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    kind = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 64}
    (folder / "tokenizer_config.json").write_text(json.dumps(kind), encoding="utf-8")
    return folder
