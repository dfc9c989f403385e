"""Models of transformers: model folders take the kernels, and `mglu.apply` swaps blocks."""

import copy
import importlib
import importlib.util
import io
import os
import pathlib
import sys
import tempfile
import unittest

import torch

import mglu

SOURCES = pathlib.Path(__file__).resolve().parents[2] / "Sources/CMGLUResources/python"


def load_classes():
    """The package of the two files of model folders."""
    name = "mglu_model_folder"
    if name not in sys.modules:
        spec = importlib.util.spec_from_loader(name, None, is_package=True)
        package = importlib.util.module_from_spec(spec)
        package.__path__ = [str(SOURCES)]
        sys.modules[name] = package
    return (importlib.import_module(name + ".configuration_mglu"),
            importlib.import_module(name + ".modeling_mglu"))


SIZES = dict(vocab_size=99, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
             num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
             bos_token_id=None, eos_token_id=None)
UNITS = (dict(num_masks=1), dict(num_masks=4), dict(num_masks=4, mask_storage="packed"),
         dict(num_masks=4, router_top_k=2), dict(mlp_type="glu"),
         dict(num_masks=2, mask_ablation="no_gate_mask", hidden_act="gelu"))


@unittest.skipIf(importlib.util.find_spec("transformers") is None, "transformers is not there")
class Transformers(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(0)
        self.configuration, self.modeling = load_classes()

    def model(self, **unit):
        return self.modeling.MGLUForCausalLM(
            self.configuration.MGLUConfig(**SIZES, **unit)).eval()

    def plain(self, function):
        """What `function` returns without kernels."""
        kernels, self.modeling.kernels = self.modeling.kernels, lambda: None
        try:
            return function()
        finally:
            self.modeling.kernels = kernels

    def test_kernels_compute_what_the_formula_does(self):
        self.assertIsNotNone(self.modeling.kernels())
        ids = torch.randint(0, 99, (2, 7))
        for unit in UNITS:
            model = self.model(**unit)
            with self.subTest(**unit):
                def gradients():
                    model.zero_grad()
                    model(ids, labels=ids).loss.backward()
                    return [p.grad.clone() for p in model.parameters()]

                for found, wanted in zip(gradients(), self.plain(gradients)):
                    bound = 1e-4 * float(wanted.abs().max())
                    self.assertLessEqual(float((found - wanted).abs().max()), bound)
                with torch.no_grad():
                    wanted = self.plain(lambda: model(ids).logits)
                    self.assertTrue(torch.allclose(model(ids).logits, wanted, atol=1e-4))
                    # The cache of packed weights follows them.
                    for block in model.model.layers:
                        block.mlp.up_proj.weight.mul_(1.5)
                        if block.mlp.mask_logits is not None:
                            block.mlp.mask_logits.neg_()
                    wanted = self.plain(lambda: model(ids).logits)
                    self.assertTrue(torch.allclose(model(ids).logits, wanted, atol=1e-4))

    def test_generate(self):
        ids = torch.randint(0, 99, (1, 5))
        for unit in UNITS:
            for dtype in (torch.float32, torch.bfloat16):
                model = self.model(**unit).to(dtype)
                with self.subTest(**unit, dtype=dtype):
                    tokens = model.generate(ids, max_new_tokens=8, do_sample=False)
                    self.assertEqual(tokens.shape, (1, 13))
                    if dtype is torch.float32:
                        wanted = self.plain(
                            lambda: model.generate(ids, max_new_tokens=8, do_sample=False))
                        self.assertTrue(torch.equal(tokens, wanted))

    def test_ways_to_generate(self):
        """Every way to the greedy text has the same one; beams and rows with padding are as without kernels."""
        ids = torch.randint(0, 99, (1, 5))
        padded = torch.cat([torch.zeros(1, 3, dtype=torch.long), ids], 1)
        mask = torch.tensor([[0] * 3 + [1] * 5, [1] * 8])
        for unit in UNITS:
            model, assistant = self.model(**unit), self.model(**unit)
            both = torch.cat([padded, torch.randint(0, 99, (1, 8))])

            def generate(ids, **options):
                return model.generate(ids, max_new_tokens=8, do_sample=False, pad_token_id=0, **options)

            wanted = self.plain(lambda: generate(ids))
            beams = dict(num_beams=3, num_return_sequences=2)
            for options in (dict(use_cache=False), dict(cache_implementation="static"),
                            dict(prompt_lookup_num_tokens=3), dict(assistant_model=assistant)):
                with self.subTest(**unit, options=[*options]):
                    self.assertTrue(torch.equal(generate(ids, **options), wanted))
            with self.subTest(**unit):
                self.assertTrue(torch.equal(
                    generate(both, attention_mask=mask)[:1, 3:], wanted))
                self.assertTrue(torch.equal(
                    generate(ids, **beams), self.plain(lambda: generate(ids, **beams))))
                torch.manual_seed(1)
                drawn = model.generate(ids, max_new_tokens=8, do_sample=True, top_k=20, top_p=0.9)
                torch.manual_seed(1)
                self.assertTrue(torch.equal(drawn, self.plain(lambda: model.generate(
                    ids, max_new_tokens=8, do_sample=True, top_k=20, top_p=0.9))))

    def test_apply(self):
        from transformers import LlamaConfig, LlamaForCausalLM, Phi3Config, Phi3ForCausalLM

        ids = torch.randint(0, 99, (1, 5))
        models = [self.model(**unit) for unit in UNITS]
        models.append(LlamaForCausalLM(LlamaConfig(**SIZES)).eval())
        models.append(Phi3ForCausalLM(Phi3Config(**SIZES, pad_token_id=0)).eval())
        for model in models:
            wanted = self.plain(lambda: model.generate(ids, max_new_tokens=8, do_sample=False))
            with torch.no_grad():
                logits = self.plain(lambda: model(ids).logits)
            parameters = sum(p.numel() for p in model.parameters())
            self.assertIs(mglu.apply(model), model)
            self.assertLess(sum(p.numel() for p in model.parameters()), parameters)
            self.assertTrue(torch.equal(
                model.generate(ids, max_new_tokens=8, do_sample=False), wanted))
            with torch.no_grad():
                self.assertTrue(torch.allclose(model(ids).logits, logits, atol=1e-4))
        with self.assertRaises(ValueError):
            mglu.apply(torch.nn.Linear(3, 3))

    def test_apply_where_new_tensors_are_made_elsewhere(self):
        """Blocks are packed where their weights are, whatever torch's default device is."""
        from transformers import LlamaConfig, LlamaForCausalLM

        ids = torch.randint(0, 99, (1, 5))
        for model in (self.model(num_masks=2), LlamaForCausalLM(LlamaConfig(**SIZES)).eval()):
            with torch.no_grad():
                wanted = self.plain(lambda: model(ids).logits)
                with torch.device("meta"):
                    mglu.apply(model)
                self.assertTrue(torch.allclose(model(ids).logits, wanted, atol=1e-4))

    def test_apply_refuses_other_formulas(self):
        """Blocks with the projections of a SwiGLU that compute something else, and a model saved after."""
        from transformers import LlamaConfig, LlamaForCausalLM
        from transformers.models.llama.modeling_llama import LlamaMLP

        class Normed(LlamaMLP):
            def forward(self, x):
                a = self.act_fn(self.gate_proj(x)) * self.up_proj(x)
                return self.down_proj(a / a.abs().mean(-1, keepdim=True))

        class Clamped(LlamaMLP):
            def forward(self, x):
                return self.down_proj(self.act_fn(self.gate_proj(x)) * self.up_proj(x).clamp(-10, 10))

        class Two(LlamaMLP):
            def forward(self, x, y):
                return super().forward(x) + y

        configuration = LlamaConfig(**SIZES)
        for kind in (Normed, Clamped, Two):
            for dtype in (torch.float32, torch.bfloat16):
                with self.subTest(kind=kind, dtype=dtype):
                    model = LlamaForCausalLM(configuration).to(dtype)
                    block = model.model.layers[1].mlp = kind(configuration).to(dtype)
                    with self.assertRaisesRegex(ValueError, kind.__name__):
                        mglu.apply(model)
                    self.assertIs(model.model.layers[1].mlp, block)
                    self.assertIsInstance(model.model.layers[0].mlp, LlamaMLP)
        # Weights of which some cannot be packed: no block is swapped before all are known.
        for move, word in ((lambda m: m.double(), "float64"), (lambda m: m.to("meta"), "meta")):
            model = LlamaForCausalLM(configuration)
            move(model.model.layers[1].mlp)
            with self.assertRaisesRegex(ValueError, word):
                mglu.apply(model)
            self.assertIsInstance(model.model.layers[0].mlp, LlamaMLP)
        with self.assertRaisesRegex(ValueError, "float64"):
            mglu.apply(LlamaForCausalLM(configuration), torch.float64)
        model = mglu.apply(LlamaForCausalLM(configuration))
        with self.assertRaisesRegex(RuntimeError, "save_pretrained"):
            model.save_pretrained("unused")

    def test_updates_through_data(self):
        """torch does not count them: the averages of weights that many keep."""
        ids = torch.randint(0, 99, (4, 7))
        for unit in UNITS[:2]:
            with self.subTest(**unit), torch.no_grad():
                model = self.model(**unit).requires_grad_(False)
                model(ids)
                for parameter in model.parameters():
                    parameter.data.mul_(-0.5).add_(torch.randn_like(parameter), alpha=0.01)
                self.check_against_formula(model, ids)

    def check_against_formula(self, model, ids):
        with torch.no_grad():
            self.assertTrue(torch.allclose(
                model(ids).logits, self.plain(lambda: model(ids).logits), atol=1e-4))

    def test_updates_of_a_few_elements_through_data(self):
        """They are not looked for; `refresh` is."""
        ids = torch.randint(0, 99, (1, 5))
        model = self.model(num_masks=2).requires_grad_(False)
        with torch.no_grad():
            before = model(ids).logits
            for block in model.model.layers:
                block.mlp.mask_logits.data[:, 1:9].neg_()
            self.assertTrue(torch.equal(model(ids).logits, before))
            self.assertIs(mglu.refresh(model), model)
            self.assertFalse(torch.equal(model(ids).logits, before))
        self.check_against_formula(model, ids)

    def test_updates_by_optimizers(self):
        """Fused ones change weights without a count. Few rows, so that no element is compared."""
        ids = torch.randint(0, 99, (1, 5))
        for options in (dict(fused=True), dict(foreach=True), dict()):
            with self.subTest(**options):
                model = self.model(num_masks=2)
                optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, **options)
                for _ in range(2):
                    self.check_against_formula(model, ids)
                    model(ids, labels=ids).loss.backward()
                    self.check_against_formula(model, ids)  # a copy made between gradients and step
                    optimizer.step()
                    self.check_against_formula(model, ids)

    def test_updates_by_hand(self):
        """Through `.data`, after a call with gradients."""
        ids = torch.randint(0, 99, (1, 5))
        model = self.model(num_masks=2)
        for _ in range(2):
            self.check_against_formula(model, ids)
            model(ids, labels=ids).loss.backward()
            for parameter in model.parameters():
                parameter.data.sub_(parameter.grad, alpha=10)
            self.check_against_formula(model, ids)

    def test_weights_are_read_once(self):
        """Calls of many rows do not read all elements of weights that have not changed."""
        class Reads(torch.utils._python_dispatch.TorchDispatchMode):
            def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
                result = operator(*args, **(kwargs or {}))
                if not operator.is_view and operator not in (
                        mglu.ops.fused_linear, mglu.ops.fused_linear_plain):
                    read.extend(
                        t.numel() for t in torch.utils._pytree.tree_leaves(args)
                        if isinstance(t, torch.Tensor) and t.untyped_storage().data_ptr() in places)
                return result

        block = self.model(num_masks=2).model.layers[0].mlp
        weights = [block.up_proj.weight, block.mask_logits]
        places, read = [t.untyped_storage().data_ptr() for t in weights], []
        x = torch.randn(600, 32)
        with torch.no_grad():
            mglu.intermediate(block, x)
            with Reads():
                mglu.intermediate(block, x)
        self.assertTrue(read)
        self.assertLessEqual(sum(read), 2 * 64)

    def test_other_activation_after_a_call(self):
        ids = torch.randint(0, 99, (1, 5))
        model = self.model(num_masks=2)
        self.check_against_formula(model, ids)
        for block in model.model.layers:
            block.mlp.activation = torch.nn.ReLU()
        self.check_against_formula(model, ids)

    def test_copies_and_pickles_have_no_packed_weights(self):
        ids = torch.randint(0, 99, (1, 5))
        model = self.model(num_masks=2)
        sizes = []
        for _ in range(2):
            file = io.BytesIO()
            torch.save(model.model.layers[0].mlp.__dict__, file)
            sizes.append(len(file.getvalue()))
            self.check_against_formula(model, ids)
        self.assertEqual(*sizes)
        twin = copy.deepcopy(model)
        with torch.no_grad():
            for block in twin.model.layers:
                block.mlp.mask_logits.data.neg_()
        self.check_against_formula(twin, ids)
        self.check_against_formula(model, ids)

    def test_made_in_inference_mode(self):
        ids = torch.randint(0, 99, (4, 7))
        with torch.inference_mode():
            model = self.model(num_masks=2)
            wanted = self.plain(lambda: model(ids).logits)
            self.assertTrue(torch.allclose(model(ids).logits, wanted, atol=1e-4))

    def test_compiles_whole(self):
        ids = torch.randint(0, 99, (2, 7))
        for unit in UNITS:
            model = self.model(**unit)
            with self.subTest(**unit), torch.no_grad():
                wanted = model(ids).logits
                torch._dynamo.reset()
                compiled = torch.compile(model, fullgraph=True, backend="eager")
                self.assertTrue(torch.allclose(compiled(ids).logits, wanted, atol=1e-4))

    def test_configurations_are_checked(self):
        for wrong in (dict(mask_kind="learnd"), dict(mask_storage="pack"), dict(router_top_k=0),
                      dict(num_masks=2, router_top_k=3), dict(mlp_type="moe")):
            with self.subTest(**wrong), self.assertRaises(ValueError):
                self.configuration.MGLUConfig(**SIZES, **wrong)

    @unittest.skipIf(importlib.util.find_spec("peft") is None, "peft is not there")
    def test_adapters(self):
        """Merging an adapter of the masked matrix changes nothing, and a DoRA is refused."""
        from peft import LoraConfig, get_peft_model

        ids = torch.randint(0, 99, (2, 7))
        for unit in UNITS[:4]:
            for targets in (["up_proj"], "all-linear"):
                with self.subTest(**unit, targets=targets), torch.no_grad():
                    adapted = get_peft_model(self.model(**unit), LoraConfig(
                        r=4, target_modules=targets, init_lora_weights=False)).eval()
                    found = adapted(ids).logits
                    with adapted.disable_adapter():
                        self.assertGreater(self.error(adapted(ids).logits, found), 1e-3)
                    merged = adapted.merge_and_unload()
                    self.assertLess(self.error(merged(ids).logits, found), 1e-4)
        dora = get_peft_model(self.model(num_masks=1), LoraConfig(
            r=4, target_modules=["up_proj"], use_dora=True))
        with self.assertRaises(TypeError):
            dora(ids)

    def test_narrow_weights(self):
        ids = torch.randint(0, 99, (2, 7))
        for dtype in (torch.bfloat16, torch.float16, torch.int8):
            model = self.model(num_masks=4)
            with torch.no_grad():
                wanted = model(ids).logits
                found = mglu.apply(model, dtype)(ids).logits
            self.assertLess(float((found - wanted).abs().max() / wanted.abs().max()), 3e-2)

    @unittest.skipUnless(torch.cuda.is_available(), "there is no GPU")
    def test_on_a_gpu(self):
        """Model folders and swapped blocks on a GPU, beside the formula on a CPU."""
        ids = torch.randint(0, 99, (2, 7))
        for unit in UNITS:
            model = self.model(**unit)
            with torch.no_grad():
                wanted = self.plain(lambda: model(ids).logits)
            for dtype, weights in ((torch.float32, None), (torch.bfloat16, None),
                                   (torch.float16, torch.int8)):
                with self.subTest(**unit, dtype=dtype, weights=weights), torch.no_grad():
                    there = copy.deepcopy(model).to("cuda", dtype)
                    # A router may choose another mask for a rounded row: one of four for one of 28 rows.
                    bound = 1e-4 if dtype is torch.float32 else 5e-2 if "router_top_k" not in unit else 0.5
                    if weights is None:
                        self.assertLess(self.error(there(ids.cuda()).logits, wanted), bound)
                    mglu.apply(there, weights)
                    self.assertLess(self.error(there(ids.cuda()).logits, wanted), bound)
                    tokens = there.generate(ids.cuda(), max_new_tokens=8, do_sample=False)
                    self.assertEqual(tokens.shape, (2, 15))

    def error(self, found, wanted):
        return float((found.float().cpu() - wanted).abs().max() / wanted.abs().max())

    def test_saved_and_loaded(self):
        from transformers import AutoModel, AutoModelForCausalLM

        ids = torch.randint(0, 99, (2, 7))
        for unit in UNITS[:4]:
            model = self.model(**unit)
            with self.subTest(**unit), tempfile.TemporaryDirectory() as folder:
                model.save_pretrained(folder)
                other = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)
                with torch.no_grad():
                    self.assertTrue(torch.equal(other(ids).logits, model(ids).logits))
                half = AutoModelForCausalLM.from_pretrained(
                    folder, trust_remote_code=True, dtype=torch.float16)
                logits = half.model.layers[0].mlp.mask_logits
                if logits is not None:
                    self.assertEqual(logits.dtype, torch.float32)
                self.assertEqual(half.model.layers[0].mlp.up_proj.weight.dtype, torch.float16)

    def test_gradient_checkpointing(self):
        ids = torch.randint(0, 99, (2, 7))
        for unit in UNITS[:4]:
            model = self.model(**unit).train()
            gradients = []
            for checkpointing in (False, True):
                if checkpointing:
                    model.gradient_checkpointing_enable(dict(use_reentrant=False))
                    self.assertTrue(model.model.layers[0].gradient_checkpointing)
                model.zero_grad()
                model(ids, labels=ids).loss.backward()
                gradients.append([p.grad.clone() for p in model.parameters()])
            for a, b in zip(*gradients):
                self.assertTrue(torch.equal(a, b))


if __name__ == "__main__":
    unittest.main()
