"""Frozen GGUF files and blocks, judged by the `gguf` package, transformers and PyTorch.

    python3 Tests/Reference/gguf_vectors.py

(pip install gguf transformers torch safetensors) writes, into vectors:

- gguf_blocks.safetensors: random blocks of each quantized type, and their values;
- gguf_llama.gguf: a random Llama of several types with the tokenizer of tokenizer.json, and the
  logits of its values in gguf_llama.safetensors;
- gguf_spm.gguf: a SentencePiece vocabulary with scores, and the merges that transformers derives of
  it in gguf_spm.json.
"""
import json
import os

import gguf
import numpy as np
import torch
from safetensors.numpy import save_file
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.tokenization_utils_base import generate_merges

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "vectors")
TYPE = gguf.GGMLQuantizationType
TEMPLATE = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{{ eos_token }}\n{% endfor %}"
random = np.random.default_rng(20)


def blocks():
    tensors = {}
    # Where the halves of a block lie: random bits may be infinite.
    halves = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
              "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}
    for name, places in halves.items():
        size, byte_count = gguf.GGML_QUANT_SIZES[TYPE[name]]
        data = random.integers(0, 256, (24, byte_count), dtype=np.uint8)
        for place in places:
            half = random.normal(0, 0.05, 24).astype(np.float16)
            data[:, place:place + 2] = half.view(np.uint8).reshape(24, 2)
        tensors[name + ".blocks"] = data
        tensors[name + ".values"] = gguf.quants.dequantize(data, TYPE[name])
    save_file(tensors, os.path.join(HERE, "gguf_blocks.safetensors"))


def interleaved(weights, heads):
    """Rows of each head as llama.cpp has them, which rotates neighbors."""
    shape = weights.shape
    return weights.reshape(heads, 2, shape[0] // heads // 2, shape[1]).swapaxes(1, 2).reshape(shape)


def deinterleaved(weights, heads):
    shape = weights.shape
    return weights.reshape(heads, shape[0] // heads // 2, 2, shape[1]).swapaxes(1, 2).reshape(shape)


def llama():
    document = json.load(open(os.path.join(HERE, "tokenizer.json")))
    vocabulary = document["model"]["vocab"]
    tokens = sorted(vocabulary, key=vocabulary.get)
    torch.manual_seed(4)
    config = LlamaConfig(
        vocab_size=len(tokens), hidden_size=64, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=12, max_position_embeddings=64,
        rope_parameters={"rope_type": "default", "rope_theta": 5000.0}, rms_norm_eps=1e-5,
        initializer_range=0.2, tie_word_embeddings=False, bos_token_id=0, eos_token_id=0)
    model = LlamaForCausalLM(config).eval().double()
    writer = gguf.GGUFWriter(os.path.join(HERE, "gguf_llama.gguf"), "llama")
    writer.add_block_count(2)
    writer.add_context_length(64)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(96)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_key_length(12)
    writer.add_value_length(12)
    writer.add_rope_dimension_count(12)
    writer.add_rope_freq_base(5000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    added = {token["content"] for token in document["added_tokens"]}
    writer.add_token_types([3 if token in added else 1 for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in document["model"]["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 2)
    types = ["Q8_0", "Q4_0", "Q5_0", "Q4_1", "Q5_1", "F16", "BF16", "F32"]
    matrices = 0
    for name, parameter in model.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(parameter, 1, 0.2)
            parameter.data = parameter.data.float().double()
        values = parameter.detach().float().numpy()
        kind = TYPE.F32
        heads = 4 if ".q_proj." in name else 2 if ".k_proj." in name else 0
        if values.ndim == 2:
            # o_proj has rows of 48, which are no whole blocks.
            kind = TYPE.F16 if values.shape[1] % 32 else TYPE[types[matrices % len(types)]]
            matrices += 1
        if heads:
            values = interleaved(values, heads)
        data = gguf.quants.quantize(values, kind)
        exact = gguf.quants.dequantize(data, kind).astype(np.float32)
        if heads:
            exact = deinterleaved(exact, heads)
        parameter.data = torch.tensor(exact).double().reshape(parameter.shape)
        writer.add_tensor(names.get_name(name, (".weight",)), data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    ids = random.integers(0, len(tokens), 24)
    with torch.no_grad():
        logits = model(torch.tensor(ids)[None]).logits[0].float().numpy()
    save_file({"ids": ids.astype(np.int32), "logits": logits},
              os.path.join(HERE, "gguf_llama.safetensors"))


def sentencepiece():
    words = ["▁the", "▁then", "▁them", "▁a", "▁an", "▁and", "er", "re", "in", "ing", "en", "he",
             "▁t", "▁th", "th", "the", "em", "nd", "▁▁", "▁▁▁", "▁▁▁▁", "é", "▁é", "日本", "日", "本"]
    pieces = [(f"<0x{byte:02X}>", 0.0, 6) for byte in range(256)]
    pieces += [(word, -float(rank // 2), 1) for rank, word in enumerate(words)]
    characters = sorted({c for word in words for c in word} - set(words) | {"▁"})
    pieces += [(character, -100.0 - rank, 1) for rank, character in enumerate(characters)]
    special = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3)]
    everything = special + pieces + [("<|user|>", 0.0, 4), ("[PAD0]", 0.0, 5)]
    writer = gguf.GGUFWriter(os.path.join(HERE, "gguf_spm.gguf"), "llama")
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([piece for piece, _, _ in everything])
    writer.add_token_scores([score for _, score, _ in everything])
    writer.add_token_types([kind for _, _, kind in everything])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    vocabulary = {piece: id for id, (piece, _, kind) in enumerate(everything) if kind != 5}
    scores = {piece: score for piece, score, kind in everything if kind != 5}
    merges = generate_merges(vocabulary, scores)
    with open(os.path.join(HERE, "gguf_spm.json"), "w") as file:
        json.dump({"merges": merges}, file, ensure_ascii=False)


blocks()
llama()
sentencepiece()
