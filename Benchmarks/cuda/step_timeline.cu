// step_timeline: when the blocks of a decoder's kernels start, have filled their rings, have their
// input, have staged it, have finished their first tile, and end.
//
//     nvcc -O3 -std=c++17 -arch=sm_90 -ISources/CMGLUKernels/include -o step_timeline Benchmarks/cuda/step_timeline.cu
//     ./step_timeline [masks 0|4] [KiB of shared memory of a block]
//
// A step of eight layers of the shape of paper-large (h 2048, d 8192, 32 heads, 8 key-value heads,
// position 512), with the kernels of Sources/CMGLUKernels/cuda, replayed as one graph. Prints the
// microseconds of a layer, and of one layer in the middle the first and last block to reach each
// point. Weights are random bits; what is computed is not looked at. Needs compute capability 9.0.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

constexpr int POINTS = 6, BLOCKS = 512;
__device__ __forceinline__ void mark(void *timeline, int point, int block) {
  if (threadIdx.x != 0) return;
  unsigned long long now;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
  ((unsigned long long *)timeline)[point * BLOCKS + block] = now;
}

// Before the kernels, which include it in namespaces.
#include "cmglu_numbers.h"

// The kernels once per variant: the same text under other names.
#define MARK(point) mark(f.staged, point, blockIdx.x)
#define MASKS 0
#define PLANES 1
#define fused_linear fused_linear_projection
namespace projection {
#include "../../Sources/CMGLUKernels/cuda/fused_linear.cu"
}
#undef fused_linear
#undef PLANES
#define PLANES 2
#define fused_linear fused_linear_gated
namespace gated {
#include "../../Sources/CMGLUKernels/cuda/fused_linear.cu"
}
#undef fused_linear
#undef MASKS
#undef PLANES
#define MASKS 4
#define PLANES 1
#define fused_linear fused_linear_masked
namespace masked {
#include "../../Sources/CMGLUKernels/cuda/fused_linear.cu"
}
#undef fused_linear
#undef MARK
#define MARK(point) mark(a.partial, point, blockIdx.x + blockIdx.y * gridDim.x)
#define QUERIES 2
#define BITS 32
namespace attend {
#include "../../Sources/CMGLUKernels/cuda/attention.cu"
}

#define CHECK(call)                                                            \
  if (cudaError_t error = (call); error != cudaSuccess) {                      \
    fprintf(stderr, "%s: %s\n", #call, cudaGetErrorString(error));             \
    exit(1);                                                                   \
  }

enum Kind { PROJECTION, UNIT };
constexpr int LAYERS = 8, H = 2048, D = 8192, HEADS = 32, KV_HEADS = 8, HEAD_SIZE = 64, CAPACITY = 1024;
constexpr int QKV = (HEADS + 2 * KV_HEADS) * HEAD_SIZE, SPLITS = 8, KERNELS = 5;
static int masks = 0, kibibytes = 150, multiprocessors = 132;
static cudaStream_t stream;
static unsigned long long *timeline;  // [kernel][POINTS][BLOCKS]
static int kernel_index;

__global__ void randomize(unsigned *words, size_t count) {
  for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < count; i += (size_t)gridDim.x * blockDim.x) {
    unsigned z = (unsigned)i * 2654435761u;
    z ^= z >> 15, z *= 0x85ebca6bu, z ^= z >> 13;
    words[i] = (z & 0x83ff83ffu) | 0x24002400u;  // halves of about 2^-6
  }
}

template <class T> T *allocate(size_t bytes) {
  T *memory;
  CHECK(cudaMalloc(&memory, bytes));
  CHECK(cudaMemset(memory, 0, bytes));
  return memory;
}

static int cell_bytes(Kind kind) { return kind == PROJECTION ? 2048 : masks ? 2048 + 128 * masks : 4096; }

static unsigned char *weights(int rows, int columns, Kind kind) {
  const size_t bytes = (size_t)rows / 16 * (columns / 64) * cell_bytes(kind);
  auto *memory = allocate<unsigned char>(bytes);
  randomize<<<2048, 256>>>((unsigned *)memory, bytes / 4);
  return memory;
}

template <class Arguments>
void launch(void (*kernel)(Arguments), dim3 grid, int shared, int cluster, Arguments arguments) {
  cudaLaunchAttribute attributes[2] = {};
  attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[0].val.programmaticStreamSerializationAllowed = 1;
  attributes[1].id = cudaLaunchAttributeClusterDimension;
  attributes[1].val.clusterDim = {1, (unsigned)cluster, 1};
  cudaLaunchConfig_t config = {};
  config.gridDim = grid, config.blockDim = 256, config.dynamicSmemBytes = shared, config.stream = stream;
  config.attrs = attributes, config.numAttrs = cluster > 1 ? 2 : 1;
  CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 200 << 10));
  CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, 100));
  CHECK(cudaLaunchKernelEx(&config, kernel, arguments));
}

static void multiply(
    Kind kind, unsigned char *cells, float *x, float *output, float *norm, int rows, int columns) {
  projection::FusedLinear f = {};
  f.cells = cells, f.x = x, f.output = output, f.norm = norm;
  f.staged = (unsigned char *)(timeline + (size_t)kernel_index++ * POINTS * BLOCKS);
  f.outputStride = f.rows = rows, f.columns = columns, f.batch = f.pieces = 1;
  f.activation = kind == UNIT ? 1 : 5, f.gating = kind == PROJECTION ? 0 : masks ? 3 : 1;
  f.accumulate = norm == nullptr, f.epsilon = 1e-5f, f.isChained = 1;
  const int streams = kind == PROJECTION ? 1 : masks ? masks + 1 : 2, cell = cell_bytes(kind);
  const int grid = std::min(rows / 16, multiprocessors), own = columns / 64 / 8 * ((rows / 16 + grid - 1) / grid);
  const int fixed = columns / 64 * 128 + 64 + 2 * 8 * streams * 16 * 4 + 64;
  f.places = 2;
  f.stages = std::min({12, own, ((kibibytes << 10) - fixed - 256) / (8 * (cell + 8))});
  const int shared = 8 * f.stages * cell + (8 * f.stages * 8 + 127) / 128 * 128 + fixed;
  if (kind == PROJECTION) launch(projection::fused_linear_projection, grid, shared, 1, f);
  else if (masks) launch(masked::fused_linear_masked, grid, shared, 1, *(masked::FusedLinear *)&f);
  else launch(gated::fused_linear_gated, grid, shared, 1, *(gated::FusedLinear *)&f);
}

int main(int count, char **arguments) {
  if (count > 1) masks = atoi(arguments[1]) ? 4 : 0;
  if (count > 2) kibibytes = std::max(40, std::min(200, atoi(arguments[2])));
  CHECK(cudaStreamCreate(&stream));
  CHECK(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0));
  struct { unsigned char *qkv, *output, *up, *down; float *keys, *values, *norm1, *norm2; } layers[LAYERS];
  const size_t cache = 4ul * KV_HEADS * CAPACITY * HEAD_SIZE;
  for (auto &l : layers) {
    l = {weights(QKV, H, PROJECTION), weights(H, H, PROJECTION), weights(D, H, UNIT), weights(H, D, PROJECTION),
         allocate<float>(cache), allocate<float>(cache), allocate<float>(4 * H), allocate<float>(4 * H)};
  }
  auto *x = allocate<float>(4 * H), *qkv = allocate<float>(4 * QKV), *attended = allocate<float>(4 * H);
  auto *a = allocate<float>(4 * D), *table = allocate<float>(4ul * CAPACITY * HEAD_SIZE);
  auto *position = allocate<int>(4);
  auto *slot = allocate<int>(4), *blocks = allocate<int>(4 * CAPACITY / attend::BLOCK);
  for (int i = 0; i < CAPACITY / attend::BLOCK; i++)
    CHECK(cudaMemcpy(blocks + i, &i, 4, cudaMemcpyHostToDevice));
  const int at = 512;
  CHECK(cudaMemcpy(position, &at, 4, cudaMemcpyHostToDevice));
  timeline = allocate<unsigned long long>(8ul * LAYERS * KERNELS * POINTS * BLOCKS);

  cudaGraph_t graph;
  cudaGraphExec_t step;
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  for (auto &l : layers) {
    multiply(PROJECTION, l.qkv, x, qkv, l.norm1, QKV, H);
    attend::Attention p = {};
    p.qkv = qkv, p.keys = l.keys, p.values = l.values, p.output = attended, p.positions = position;
    p.slots = slot, p.blockTables = blocks, p.blocksPerSequence = CAPACITY / attend::BLOCK, p.decodes = 1;
    p.cosine = table, p.sine = table + CAPACITY * HEAD_SIZE / 2;
    p.heads = HEADS, p.kvHeads = KV_HEADS, p.window = CAPACITY, p.scale = 0.125f;
    p.partial = (float *)(timeline + (size_t)kernel_index++ * POINTS * BLOCKS);
    launch(attend::attention, dim3(HEADS / QUERIES, SPLITS), 0, SPLITS, p);
    multiply(PROJECTION, l.output, attended, x, nullptr, H, H);
    multiply(UNIT, l.up, x, a, l.norm2, D, H);
    multiply(PROJECTION, l.down, a, x, nullptr, H, D);
  }
  CHECK(cudaStreamEndCapture(stream, &graph));
  CHECK(cudaGraphInstantiate(&step, graph, 0));
  std::vector<float> times;
  for (int i = 0; i < 20; i++) {
    cudaEvent_t start, end;
    CHECK(cudaEventCreate(&start));
    CHECK(cudaEventCreate(&end));
    CHECK(cudaEventRecord(start, stream));
    CHECK(cudaGraphLaunch(step, stream));
    CHECK(cudaEventRecord(end, stream));
    CHECK(cudaEventSynchronize(end));
    float milliseconds;
    CHECK(cudaEventElapsedTime(&milliseconds, start, end));
    if (i >= 5) times.push_back(milliseconds * 1000 / LAYERS);
  }
  std::sort(times.begin(), times.end());
  const double bytes = 2. * QKV * H + 2. * H * H + 2. * D * H + (double)D * H * cell_bytes(UNIT) / 1024;
  printf("%.1f us a layer of %.1f MB: %.2f TB/s\n", times[times.size() / 2], bytes / 1e6,
         bytes / times[times.size() / 2] / 1e6);

  std::vector<unsigned long long> all((size_t)LAYERS * KERNELS * POINTS * BLOCKS);
  CHECK(cudaMemcpy(all.data(), timeline, all.size() * 8, cudaMemcpyDeviceToHost));
  const char *kernels[] = {"qkv", "attention", "output", "up", "down"};
  const char *points[] = {"start", "filled", "input", "staged", "tile", "end"};
  printf("%-10s", "");
  for (auto *point : points) printf("%14s", point);
  unsigned long long zero = 0;
  for (int k = LAYERS / 2 * KERNELS; k <= (LAYERS / 2 + 1) * KERNELS; k++) {
    printf("\n%-10s", kernels[k % KERNELS]);
    for (int point = 0; point < POINTS; point++) {
      unsigned long long first = ~0ull, last = 0;
      for (int block = 0; block < BLOCKS; block++) {
        const auto time = all[((size_t)k * POINTS + point) * BLOCKS + block];
        if (time) first = std::min(first, time), last = std::max(last, time);
      }
      if (!zero) zero = first;
      printf("%7.1f-%-6.1f", (first - zero) / 1e3, (last - zero) / 1e3);
    }
  }
  printf("\n");
}
