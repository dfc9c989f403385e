"""The paper's FlashMGLU kernel, rebuilt from its description (arXiv 2506.23225, section 4, appendix E).

The authors released no code. As described: split-K, with a block for each row and chunk of K; a
thread loads two FP16 weights, their two x, and for each element one byte of mask bits for any n_m; t
and s_i are FP32 in registers; warp shuffles, then one atomicAdd for each row and stream. One kernel
zeroes the sums before, and another computes the activation and the sum over masks after; a call is
all three. The paper names no chunk and block size, so we try several for each shape and n_m and take
the fastest.
"""
import warnings

import cupy
import torch

from cuda_timing import DEVICE

# PTX converts FP16, so that NVRTC needs no header.
SOURCE = r"""
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;

__device__ __forceinline__ float2 unpack(u32 pair) {
  float2 both;
  asm("{ .reg .b16 low, high;\n"
      "  mov.b32 {low, high}, %2;\n"
      "  cvt.f32.f16 %0, low;\n"
      "  cvt.f32.f16 %1, high; }"
      : "=f"(both.x), "=f"(both.y) : "r"(pair));
  return both;
}

// t and s_i of one row over one chunk of K, added to sums.
template <int masks>
__global__ void project(
    const u32* __restrict__ weight,  // [d, h / 2] pairs of FP16
    const u16* __restrict__ bits,    // [d, h / 2] pairs of bytes: bit i is M_i of the element
    const u32* __restrict__ x,       // [h / 2] pairs of FP16
    float* __restrict__ sums,        // [n_m + 1, d]: t, then s_i
    int d, int pairs, int chunk) {   // pairs = h / 2, chunk in pairs
  const int row = blockIdx.y;
  const int first = blockIdx.x * chunk;
  const int end = min(first + chunk, pairs);
  const u32* w = weight + (size_t)row * pairs;
  const u16* m = bits + (size_t)row * pairs;
  float sum[masks + 1] = {};
#pragma unroll 4
  for (int k = first + threadIdx.x; k < end; k += blockDim.x) {
    const float2 a = unpack(w[k]);
    const float2 b = unpack(x[k]);
    const u32 mask = m[k];
    const float low = a.x * b.x;
    const float high = a.y * b.y;
    sum[0] += low + high;
#pragma unroll
    for (int i = 0; i < masks; i++) {
      if (mask & (1u << i)) sum[i + 1] += low;
      if (mask & (256u << i)) sum[i + 1] += high;
    }
  }
  __shared__ float partial[masks + 1][32];
  const int lane = threadIdx.x % 32;
  const int warp = threadIdx.x / 32;
#pragma unroll
  for (int i = 0; i <= masks; i++) {
    for (int offset = 16; offset; offset /= 2) {
      sum[i] += __shfl_xor_sync(0xffffffffu, sum[i], offset);
    }
    if (lane == 0) partial[i][warp] = sum[i];
  }
  __syncthreads();
  const int stream = threadIdx.x;
  if (stream <= masks) {
    float total = 0;
    for (int i = 0; i < blockDim.x / 32; i++) total += partial[stream][i];
    atomicAdd(sums + (size_t)stream * d + row, total);
  }
}

// y [d] in FP16: the sum over i of silu(s_i) (t - s_i).
template <int masks>
__global__ void activate(const float* __restrict__ sums, u16* __restrict__ y, int d) {
  const int row = blockIdx.x * blockDim.x + threadIdx.x;
  if (row >= d) return;
  const float t = sums[row];
  float total = 0;
#pragma unroll
  for (int i = 1; i <= masks; i++) {
    const float s = sums[(size_t)i * d + row];
    total += s / (1 + __expf(-s)) * (t - s);
  }
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y[row]) : "f"(total));
}
"""
MASKS = (1, 2, 4, 8)
NAMES = [f"{kernel}<{masks}>" for kernel in ("project", "activate") for masks in MASKS]
BLOCKS = (128, 256, 512)


class PaperKernel:
    """The kernel for one shape and n_m."""

    module = None

    def __init__(self, d, h, masks):
        if h % 2 or masks not in MASKS:
            raise SystemExit(
                f"the paper's kernel: h {h}, n_m {masks}: expected an even h, n_m of {MASKS}")
        if PaperKernel.module is None:
            PaperKernel.module = cupy.RawModule(
                code=SOURCE, options=("-std=c++17",), name_expressions=NAMES)
        self.project = self.module.get_function(f"project<{masks}>")
        self.activate = self.module.get_function(f"activate<{masks}>")
        self.d, self.pairs = d, h // 2
        self.sums = torch.empty(masks + 1, d, dtype=torch.float32, device=DEVICE)
        self.y = torch.empty(1, d, dtype=torch.float16, device=DEVICE)
        self.block, self.chunk = self.candidates()[0]

    def candidates(self):
        """Blocks, and chunks of K in pairs: one to eight pairs a thread, at most a row."""
        return [(block, block * count) for block in BLOCKS for count in (1, 2, 4, 8)
                if block * count <= self.pairs] or [(BLOCKS[0], self.pairs)]

    def __call__(self, x, weight, bits):
        """y [1, d] of x [1, h], weight [d, h], both FP16, and bits [d, h], uint8."""
        self.sums.zero_()
        with current_stream():
            self.project(
                (-(-self.pairs // self.chunk), self.d), (self.block,),
                (weight.data_ptr(), bits.data_ptr(), x.data_ptr(), self.sums.data_ptr(),
                 cupy.int32(self.d), cupy.int32(self.pairs), cupy.int32(self.chunk)))
            self.activate(
                (-(-self.d // 256),), (256,),
                (self.sums.data_ptr(), self.y.data_ptr(), cupy.int32(self.d)))
        return self.y

    def tune(self, median):
        """Keeps the fastest candidate; median() times the kernel as it is."""
        def time(candidate):
            self.block, self.chunk = candidate
            return median()
        self.block, self.chunk = min(self.candidates(), key=time)
        return f"blocks of {self.block} threads, chunks of {2 * self.chunk} of K"


def current_stream():
    """PyTorch's current stream, for CuPy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return cupy.cuda.ExternalStream(torch.cuda.current_stream().cuda_stream)
