"""GGUF files of the gguf package are read as the models they were made from; ours are read by transformers,
and by llama.cpp where llama-cpp-python is installed."""

import json
import pathlib
import tempfile
import unittest

import gguf
import numpy as np
import tokenizers
import torch
from transformers import (
    AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, Phi3Config, Phi3ForCausalLM, Qwen2Config,
    Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM, SmolLM3Config, SmolLM3ForCausalLM)

from support import TOLERANCE, difference, mglu, token_ids
from texts import mixed_text

try:
    import llama_cpp
except ImportError:
    llama_cpp = None

if llama_cpp:
    # Weights as the file has them: not repacked for AMX, which some virtual machines name and do not run.
    _defaults = llama_cpp.llama_cpp.llama_model_default_params

    def _as_in_the_file():
        parameters = _defaults()
        parameters.use_extra_bufts = False
        return parameters

    llama_cpp.llama_cpp.llama_model_default_params = _as_in_the_file

TYPE = gguf.GGMLQuantizationType
FAMILIES = {
    "llama": (LlamaConfig, LlamaForCausalLM, {}),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM, {}),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM, {"head_dim": 16}),
    "smollm3": (SmolLM3Config, SmolLM3ForCausalLM, {"pad_token_id": 0}),
    "phi3": (Phi3Config, Phi3ForCausalLM, {"pad_token_id": 0}),
}
TYPES = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"]


def model(family, **changes):
    config, kind, more = FAMILIES[family]
    torch.manual_seed(3)
    sizes = dict(vocab_size=320, hidden_size=64, intermediate_size=96, num_hidden_layers=4,
                 num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
                 bos_token_id=0, eos_token_id=1, initializer_range=0.2, tie_word_embeddings=False)
    model = kind(config(**{**sizes, **more, **changes})).eval()
    for name, parameter in model.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(parameter, 1, 0.2)
        if "bias" in name:
            torch.nn.init.normal_(parameter, 0, 0.3)
    return model


def rows(values, heads, apart):
    """Rows of each head in pairs, as llama.cpp rotates them, or back."""
    shape = values.shape
    split = (heads, shape[0] // heads // 2, 2) if apart else (heads, 2, shape[0] // heads // 2)
    return values.reshape(*split, *shape[1:]).swapaxes(1, 2).reshape(shape)


def write(model, family, path, types):
    """Writes `model` with matrices of the types in turn, and gives it the values that they keep."""
    c = model.config
    writer = gguf.GGUFWriter(path, family)
    size = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    for add, value in [
        (writer.add_block_count, c.num_hidden_layers),
        (writer.add_context_length, c.max_position_embeddings),
        (writer.add_embedding_length, c.hidden_size),
        (writer.add_feed_forward_length, c.intermediate_size),
        (writer.add_head_count, c.num_attention_heads),
        (writer.add_head_count_kv, c.num_key_value_heads),
        (writer.add_key_length, size), (writer.add_value_length, size),
        (writer.add_rope_dimension_count, size),
        (writer.add_rope_freq_base, c.rope_parameters["rope_theta"]),
        (writer.add_layer_norm_rms_eps, c.rms_norm_eps),
    ]:
        add(value)
    architecture = next(k for k, v in gguf.MODEL_ARCH_NAMES.items() if v == family)
    names = gguf.get_tensor_name_map(architecture, c.num_hidden_layers)
    matrices = 0
    for name, parameter in model.named_parameters():
        values = parameter.detach().numpy()
        kind = TYPE.F32
        if values.ndim == 2:
            kind = TYPE[types[matrices % len(types)]]
            matrices += 1
        heads = 0
        if family in ("llama", "smollm3"):
            heads = (c.num_attention_heads if ".q_proj." in name
                     else c.num_key_value_heads if ".k_proj." in name else 0)
        if heads:
            values = rows(values, heads, apart=False)
        data = gguf.quants.quantize(values, kind)
        kept = gguf.quants.dequantize(data, kind).astype(np.float32).reshape(values.shape)
        parameter.data = torch.tensor(rows(kept, heads, apart=True) if heads else kept)
        writer.add_tensor(names.get_name(name, (".weight", ".bias")), data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class GGUF(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)

    def test_in(self):
        """Families of the gguf package's files, in every type that it writes."""
        for family in FAMILIES:
            for types in [["F32"], TYPES]:
                with self.subTest(family=family, types=len(types)):
                    path = self.folder / f"{family}-{len(types)}.gguf"
                    original = model(family)
                    write(original, family, path, types)
                    found, largest = difference(path, original, 48, "--weights", "fp32")
                    print(f"{path.stem}: {found:.1e} of {largest:.1f}")
                    self.assertLess(found, TOLERANCE)

    def test_transformers_reads_ours(self):
        """A folder of each family, written as GGUF, gives the same logits in transformers."""
        # transformers does not read the size of Qwen3's heads, nor SmolLM3 at all.
        for family, changes in [("llama", {}), ("qwen2", {}), ("qwen3", {"head_dim": 128})]:
            with self.subTest(family):
                original = model(family, **changes)
                out = self.written(family, original).parent
                again = AutoModelForCausalLM.from_pretrained(
                    out, gguf_file="model.gguf", dtype=torch.float32).eval()
                ids = token_ids(320, 48)
                with torch.no_grad():
                    a, b = (m(torch.tensor([ids])).logits[0].double() for m in (original, again))
                print(f"{family}: {(a - b).abs().max().item():.1e}")
                self.assertLess((a - b).abs().max().item(), TOLERANCE)

    def written(self, family, original):
        """The GGUF file of a folder with `original`, which we read as the same again."""
        folder = self.folder / family
        original.save_pretrained(folder)
        tokenizer(folder, original.config.vocab_size)
        out = self.folder / f"{family}-out"
        out.mkdir()
        path = out / "model.gguf"
        mglu("convert", "--model", folder, "--to", "gguf", "--weights", "f32", "--output", path)
        found, _ = difference(path, original)
        self.assertLess(found, TOLERANCE)
        return path

    @unittest.skipUnless(llama_cpp, "llama-cpp-python is not installed")
    def test_llama_cpp_reads_ours(self):
        """Every architecture that is written computes the same in llama.cpp, which rounds a little."""
        for family in ["llama", "qwen2", "qwen3", "smollm3"]:
            with self.subTest(family):
                original = model(family)
                theirs = llama_cpp.Llama(
                    str(self.written(family, original)), n_ctx=64, logits_all=True, verbose=False)
                ids = token_ids(320, 32)
                theirs.eval(ids)
                with torch.no_grad():
                    expected = original(torch.tensor([ids])).logits[0].numpy()
                found = np.abs(theirs.scores[:len(ids)] - expected).max()
                print(f"{family} in llama.cpp: {found:.1e} of {np.abs(expected).max():.1f}")
                self.assertLess(found, 0.03)

    @unittest.skipUnless(llama_cpp, "llama-cpp-python is not installed")
    def test_llama_cpp_writes_the_same(self):
        """The greedy text of SwiMGLUs, trained a little, in llama.cpp."""
        text = self.folder / "input.txt"
        text.write_text("the cat sat on the mat, and the dog ate what the cat had left. " * 400)
        for masks in (1, 4):
            run = self.folder / f"run{masks}"
            mglu("train", "--data", text, "--ffn", "swimglu", "--masks", masks, "--steps", 40,
                 "--output", run)
            for weights, ours in [("f32", "fp32"), ("bf16", "bf16"), ("q8_0", "int8")]:
                with self.subTest(masks=masks, weights=weights):
                    path = self.folder / f"{masks}-{weights}.gguf"
                    mglu("convert", "--model", run, "--to", "gguf", "--weights", weights,
                         "--output", path)
                    theirs = llama_cpp.Llama(str(path), n_ctx=64, verbose=False)
                    for prompt in ["the ", "cat ", "and the dog"]:
                        expected = theirs.create_completion(
                            prompt, max_tokens=40, temperature=0)["choices"][0]["text"]
                        found = json.loads(mglu(
                            "generate", "--model", path, "--prompt", prompt, "--temperature", 0,
                            "--max-tokens", 40, "--json"))["text"]
                        self.assertEqual(found, expected)

    @unittest.skipUnless(llama_cpp, "llama-cpp-python is not installed")
    def test_llama_cpp_takes_tokenizers_of_ours(self):
        """A tokenizer that was trained here, in llama.cpp: the same tokens."""
        text = self.folder / "mixed.txt"
        text.write_text(mixed_text(60_000), encoding="utf-8")
        mglu("tokenizer", "train", "--data", text, "--vocabulary-size", 600, "--output", self.folder / "tokenizer")
        mglu("train", "--data", text, "--tokenizer", self.folder / "tokenizer", "--steps", 1, "--layers", 1,
             "--hidden-size", 32, "--heads", 2, "--intermediate-size", 48, "--output", self.folder / "own")
        path = self.folder / "own.gguf"
        mglu("convert", "--model", self.folder / "own", "--to", "gguf", "--output", path)
        theirs = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
        ours = tokenizers.Tokenizer.from_file(str(self.folder / "own/tokenizer.json"))
        for line in filter(None, mixed_text(20_000, seed=5).split("\n")):
            self.assertEqual(theirs.tokenize(line.encode(), add_bos=False), ours.encode(line).ids, line)


def tokenizer(folder, size):
    """A tokenizer.json of bytes and of tokens that are no text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate(alphabet)}
    for index in range(len(alphabet), size):
        vocabulary[f"a{index}"] = index
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
