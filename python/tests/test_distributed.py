"""Two processes: FSDP2 over layers, tensor parallelism over a model folder; by gloo on CPUs, by NCCL where there
are two GPUs."""

import datetime
import importlib.util
import os
import sys
import tempfile
import unittest
import unittest.mock

import torch
import torch.distributed as dist
from torch import nn

import mglu

RANKS = 2
DEVICES = ["cpu"] + ["cuda"] * (torch.cuda.device_count() >= RANKS)


def start(rank, store, device, function, arguments):
    """A rank of `function`, which raises where something is wrong."""
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(RANKS), LOCAL_WORLD_SIZE=str(RANKS))
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(1)
    mglu.set_num_threads(1)
    if device == "cuda":
        torch.cuda.set_device(rank)
    dist.init_process_group(
        "nccl" if device == "cuda" else "gloo", init_method="file://" + store, rank=rank,
        world_size=RANKS, timeout=datetime.timedelta(minutes=2))
    function(rank, device, *arguments)
    dist.barrier()
    # Without an end of the group: where a thread of gloo lets go of it last, it ends the process by SIGABRT.
    os._exit(0)


def together(device, function, *arguments):
    # Torch and transformers prefer a GPU wherever they see one.
    visible = {} if device == "cuda" else {"CUDA_VISIBLE_DEVICES": ""}
    with unittest.mock.patch.dict(os.environ, visible), tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(
            start, (os.path.join(folder, "store"), device, function, arguments), nprocs=RANKS,
            join=True)


def block(device):
    torch.manual_seed(0)
    return nn.Sequential(
        mglu.nn.MGLU(64, 48, 3), nn.Linear(48, 64, bias=False),
        mglu.nn.GLU(64, 48), nn.Linear(48, 64, bias=False)).to(device)


def sharded(rank, device):
    from torch.distributed.fsdp import fully_shard

    dtype = torch.bfloat16 if device == "cuda" else torch.float32

    def gradients(model, x):
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            loss = model(x).float().square().mean()
        loss.backward()
        return loss.detach(), [p.grad for p in model.parameters()]

    x = torch.randn(16, 64, generator=torch.Generator().manual_seed(1)).to(device)
    loss, wanted = gradients(block(device), x)
    model = block(device)
    for layer in model:
        fully_shard(layer)
    fully_shard(model)
    share = 16 // RANKS
    own, found = gradients(model, x[rank * share : (rank + 1) * share])
    dist.all_reduce(own)
    bound = 2e-2 if dtype is torch.bfloat16 else 1e-5
    assert abs(float(own / RANKS - loss)) <= bound * float(loss)
    for f, w in zip(found, wanted):
        f = f.full_tensor()
        assert float((f - w).abs().max()) <= bound * float(w.abs().max())


def divided(rank, device, folder):
    from transformers import AutoModelForCausalLM

    ids = torch.arange(14).view(2, 7)
    wanted = torch.load(os.path.join(folder, "logits.pt"))
    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True, tp_plan="auto").eval()
    shape = model.model.layers[0].self_attn.q_proj.weight.shape
    local = getattr(model.model.layers[0].self_attn.q_proj.weight, "_local_tensor", None)
    assert local is not None and local.shape[0] * RANKS == shape[0], "attention is not divided"
    with torch.no_grad():
        logits = model(ids.to(model.device)).logits.float().cpu()
    assert float((logits - wanted).abs().max()) <= 2e-5 * float(wanted.abs().max())


@unittest.skipUnless(dist.is_available(), "torch was built without torch.distributed")
class Distributed(unittest.TestCase):
    def test_fully_sharded(self):
        for device in DEVICES:
            with self.subTest(device=device):
                together(device, sharded)

    @unittest.skipIf(importlib.util.find_spec("transformers") is None, "transformers is not there")
    def test_tensor_parallel(self):
        from test_transformers import SIZES, UNITS, load_classes

        configuration, modeling = load_classes()
        for device in DEVICES:
            for unit in (UNITS[1], UNITS[2], UNITS[3]):
                torch.manual_seed(0)
                # Older releases of transformers divide even vocabularies only.
                model = modeling.MGLUForCausalLM(
                    configuration.MGLUConfig(**{**SIZES, "vocab_size": 100}, **unit)).eval()
                with self.subTest(device=device, **unit), tempfile.TemporaryDirectory() as folder:
                    model.save_pretrained(folder)
                    with torch.no_grad():
                        logits = model(torch.arange(14).view(2, 7)).logits
                    torch.save(logits, os.path.join(folder, "logits.pt"))
                    together(device, divided, folder)


if __name__ == "__main__":
    unittest.main()
