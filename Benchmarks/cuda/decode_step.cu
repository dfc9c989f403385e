// decode_step: a decoder's step by decode.cu, from a token to logits, beside the chain of tokens.cu,
// fused_linear.cu and attention_decode.cu (or attention.cu) that computes the same: its time, and whether results are the same bits.
// Then steps that follow one another, each with the choice of its token, and choices alone.
//
//     nvcc -O3 -std=c++20 -arch=sm_90 -ISources/CMGLUKernels/include -DUNIT_MASKS=4 -DUNIT_PLANES=1 -o decode_step Benchmarks/cuda/decode_step.cu
//     ./decode_step [pieces] [position] [KiB of the ring] ...
//
// The model has the shape of paper-large (16 layers, h 2048, d 8192, 32 heads, 8 key-value heads, 50,257
// tokens in an embedding that is the head too) or, with -DSMALL=1, of SmolLM2-135M (30 layers, h 576, d 1536, 9
// heads, 3 key-value heads, 49,152 tokens) or, with -DSMALL=2 -DHEAD=32, of paper-small (12 layers, h 768, d 3072,
// 24 heads, 6 key-value heads). SwiGLU is
// UNIT_MASKS 0 and UNIT_PLANES 2; with -DINT8=1 weights are integers, which want -DBITS=16. With -DBITS=16 activations and cache are FP16, else float32; the blocks of the
// cache are in no order. Weights, caches and norms are random. With -DTIMELINE it prints when
// the first block, half and all of them reach the points of a layer in the middle, in microseconds.
// Needs compute capability 9.0.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <tuple>
#include <vector>

// Before the kernels, which include it in namespaces.
#include "cmglu_numbers.h"

#ifndef BITS
#define BITS 32
#endif
#ifndef INT8
#define INT8 0
#endif
#ifndef SMALL
#define SMALL 0
#endif
#define MASKS 0
#define PLANES 1
#define fused_linear fused_linear_projection
namespace chain_projection {
#include "../../Sources/CMGLUKernels/cuda/fused_linear.cu"
}
#undef fused_linear
#undef MASKS
#undef PLANES
#define MASKS UNIT_MASKS
#define PLANES UNIT_PLANES
#define fused_linear fused_linear_unit
namespace chain_unit {
#include "../../Sources/CMGLUKernels/cuda/fused_linear.cu"
}
#undef fused_linear
#undef MASKS
#undef PLANES
// As a backend launches them for one row. Queries of a block do not change what it computes.
#if BITS == 16
#define QUERIES (SMALL == 1 ? 3 : 4)
namespace chain_attention {
#include "../../Sources/CMGLUKernels/cuda/attention_decode.cu"
}
#define attention attention_decode_splits
#else
#define QUERIES (SMALL == 1 ? 1 : 2)
namespace chain_attention {
#include "../../Sources/CMGLUKernels/cuda/attention.cu"
}
#endif
#undef QUERIES
#define QUERIES (SMALL == 1 ? 1 : 2)
namespace chain_tokens {
#include "../../Sources/CMGLUKernels/cuda/tokens.cu"
}

constexpr int LAYERS = SMALL == 1 ? 30 : SMALL == 2 ? 12 : 16;
#ifdef TIMELINE
constexpr int POINTS = 13;  // two of each step, and three within attention
__device__ unsigned long long timeline[LAYERS + 1][POINTS][132];
#define STEP_MARK(layer, point)                                    \
  if (threadIdx.x == 0) {                                          \
    unsigned long long now;                                        \
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));         \
    timeline[layer][point][blockIdx.x] = now;                      \
  }
#endif
#include "../../Sources/CMGLUKernels/cuda/decode.cu"

#define CHECK(call)                                                \
  if (cudaError_t error = (call); error != cudaSuccess) {          \
    fprintf(stderr, "%s: %s\n", #call, cudaGetErrorString(error)); \
    exit(1);                                                       \
  }

constexpr int H = SMALL == 1 ? 576 : SMALL == 2 ? 768 : 2048, D = SMALL == 1 ? 1536 : SMALL == 2 ? 3072 : 8192;
constexpr int HEADS = SMALL == 1 ? 9 : SMALL == 2 ? 24 : 32, KV_HEADS = SMALL == 1 ? 3 : SMALL == 2 ? 6 : 8, CAPACITY = 1024;
constexpr int VOCABULARY = SMALL == 1 ? 49152 : 50257, TOKEN = 4321;
constexpr int QKV_ROWS = (HEADS + 2 * KV_HEADS) * HEAD;
constexpr int MATRIX_CELL = chain_projection::CELL_BYTES, UNIT_CELL = chain_unit::CELL_BYTES;
constexpr int ACTIVATION = 1, GATING = UNIT_MASKS ? 3 : UNIT_PLANES == 2 ? 1 : 0;
constexpr int ACTIVATIONS = BITS == 16 ? CMGLU_F16 : CMGLU_F32;
constexpr int BLOCKS = CAPACITY / attend::BLOCK;
static int pieces = BITS == 16 ? 1 : 2, multiprocessors = 132;
static cudaStream_t stream;

__global__ void randomize(unsigned *words, size_t count, unsigned seed) {
  for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < count; i += (size_t)gridDim.x * blockDim.x) {
    unsigned z = ((unsigned)i + seed) * 2654435761u;
    z ^= z >> 15, z *= 0x85ebca6bu, z ^= z >> 13, z *= 0xc2b2ae35u, z ^= z >> 16;
    words[i] = (z & 0x83ff83ffu) | (INT8 ? 0x0c000c00u : 0x24002400u);  // halves of about 2^-12 or 2^-6
  }
}
// Masks' words become random bits.
__global__ void randomize_masks(unsigned char *cells, size_t count) {
  for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < count * UNIT_MASKS * 32; i += (size_t)gridDim.x * blockDim.x) {
    unsigned z = (unsigned)i * 2246822519u;
    z ^= z >> 15, z *= 0x85ebca6bu, z ^= z >> 13, z *= 0xc2b2ae35u, z ^= z >> 16;
    ((unsigned *)(cells + i / (UNIT_MASKS * 32 + !UNIT_MASKS) * UNIT_CELL + UNIT_PLANES * MATRIX_CELL))[i % (UNIT_MASKS * 32 + !UNIT_MASKS)] = z;
  }
}
__global__ void randomize_floats(float *x, size_t count, unsigned seed, float center, float width) {
  for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < count; i += (size_t)gridDim.x * blockDim.x) {
    unsigned z = ((unsigned)i + seed) * 2654435761u;
    z ^= z >> 15, z *= 0x85ebca6bu, z ^= z >> 13, z *= 0xc2b2ae35u, z ^= z >> 16;
    x[i] = center + width * ((float)z / 2147483648.f - 1.f);
  }
}

__global__ void randomize_elements(attend::Element *x, size_t count, unsigned seed) {
  for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < count; i += (size_t)gridDim.x * blockDim.x) {
    unsigned z = ((unsigned)i + seed) * 2654435761u;
    z ^= z >> 15, z *= 0x85ebca6bu, z ^= z >> 13, z *= 0xc2b2ae35u, z ^= z >> 16;
    x[i] = attend::to_element((float)z / 1073741824.f - 2.f);
  }
}

template <class T> T *allocate(size_t bytes) {
  T *memory;
  CHECK(cudaMalloc(&memory, bytes));
  CHECK(cudaMemset(memory, 0, bytes));
  return memory;
}

static unsigned seed = 1;
static unsigned char *weights(int rows, int columns, int cell) {
  const size_t count = (size_t)(rows + 15) / 16 * (columns / 64);
  auto *memory = allocate<unsigned char>(count * cell);
  randomize<<<2048, 256>>>((unsigned *)memory, count * cell / 4, seed += 77777);
  if (cell != MATRIX_CELL && UNIT_MASKS) randomize_masks<<<2048, 256>>>(memory, count);
  return memory;
}
static float *floats(size_t count, float center, float width) {
  auto *memory = allocate<float>(count * 4);
  randomize_floats<<<2048, 256>>>(memory, count, seed += 77777, center, width);
  return memory;
}

static attend::Element *elements(size_t count) {
  auto *memory = allocate<attend::Element>(count * sizeof(attend::Element));
  randomize_elements<<<2048, 256>>>(memory, count, seed += 77777);
  return memory;
}

// How a kernel is launched: EARLY before those ahead of it are done, TOGETHER all blocks at once.
enum { IN_ORDER = 0, EARLY = 1, TOGETHER = 2 };

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, int threads, int shared, int cluster, int how,
            Arguments... arguments) {
  cudaLaunchAttribute attributes[3] = {};
  cudaLaunchConfig_t config = {};
  config.gridDim = grid, config.blockDim = threads, config.dynamicSmemBytes = shared, config.stream = stream;
  config.attrs = attributes;
  if (how & TOGETHER) {
    attributes[config.numAttrs].id = cudaLaunchAttributeCooperative;
    attributes[config.numAttrs++].val.cooperative = 1;
  }
  if (how & EARLY) {
    attributes[config.numAttrs].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[config.numAttrs++].val.programmaticStreamSerializationAllowed = 1;
  }
  if (cluster > 1) {
    attributes[config.numAttrs].id = cudaLaunchAttributeClusterDimension;
    attributes[config.numAttrs++].val.clusterDim = {1, (unsigned)cluster, 1};
  }
  static std::set<const void *> prepared;
  if (prepared.insert((const void *)kernel).second) {
    cudaFuncAttributes a;
    CHECK(cudaFuncGetAttributes(&a, kernel));
    CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (227 << 10) - (int)a.sharedSizeBytes));
    CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, 100));
  }
  CHECK(cudaLaunchKernelEx(&config, kernel, Parameters(arguments)...));
}

static void multiply(
    bool isUnit, unsigned char *cells, const void *x, int inputType, void *output, int outputType,
    const float *norm, int rows, int columns) {
  chain_projection::FusedLinear f = {};
  f.cells = cells, f.x = x, f.output = output, f.norm = norm;
  f.outputStride = f.rows = rows, f.columns = columns, f.batch = 1, f.pieces = pieces;
  f.inputType = inputType, f.outputType = outputType;
  f.activation = isUnit ? ACTIVATION : 5, f.gating = isUnit ? GATING : 0;
  f.accumulate = norm == nullptr, f.epsilon = 1e-5f, f.isChained = 1;
  const int streams = !isUnit ? 1 : UNIT_PLANES == 2 ? 2 : UNIT_MASKS + 1, cell = isUnit ? UNIT_CELL : MATRIX_CELL;
  const int tiles = (rows + 15) / 16, grid = std::min(tiles, multiprocessors), own = (columns / 64 + 7) / 8 * ((tiles + grid - 1) / grid);
  const int fixed = pieces * (columns / 64 * 128 + 64) + pieces * 2 * 8 * streams * 16 * 4 + 64;
  f.places = 2;
  f.stages = std::min({12, own, ((150 << 10) - fixed - 256) / (8 * (cell + 8))});
  const int shared = 8 * f.stages * cell + (8 * f.stages * 8 + 127) / 128 * 128 + fixed;
  if (!isUnit) launch(chain_projection::fused_linear_projection, grid, 256, shared, 1, EARLY, f);
  else launch(chain_unit::fused_linear_unit, grid, 256, shared, 1, EARLY, *(chain_unit::FusedLinear *)&f);
}

static void sample(const float *logits, const float *choice, int *token, int how = EARLY) {
  launch(chain_tokens::sample, 1, 512, 0, 1, how, logits, choice, token, VOCABULARY, 0, nullptr, nullptr, nullptr);
}

template <class Body> cudaGraphExec_t record(Body body) {
  cudaGraph_t graph;
  cudaGraphExec_t step;
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  body();
  CHECK(cudaStreamEndCapture(stream, &graph));
  CHECK(cudaGraphInstantiate(&step, graph, 0));
  return step;
}

// The median microseconds of `steps` at a time, of a step.
template <class Body> float time(int steps, Body body) {
  std::vector<float> times;
  for (int i = 0; i < 25; i++) {
    cudaEvent_t start, end;
    CHECK(cudaEventCreate(&start));
    CHECK(cudaEventCreate(&end));
    CHECK(cudaEventRecord(start, stream));
    for (int step = 0; step < steps; step++) body();
    CHECK(cudaEventRecord(end, stream));
    CHECK(cudaEventSynchronize(end));
    float milliseconds;
    CHECK(cudaEventElapsedTime(&milliseconds, start, end));
    if (i >= 5) times.push_back(milliseconds * 1000 / steps);
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}
static float time(cudaGraphExec_t step) {
  return time(1, [&] { CHECK(cudaGraphLaunch(step, stream)); });
}

int main(int count, char **arguments) {
  if (count > 1) pieces = atoi(arguments[1]);
  const int at = count > 2 ? atoi(arguments[2]) : 512;
  CHECK(cudaStreamCreate(&stream));
  CHECK(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0));
  std::vector<Layer> layers;
  const size_t cache = (size_t)(BLOCKS + 1) * KV_HEADS * attend::BLOCK * HEAD;
  for (int l = 0; l < LAYERS; l++)
    layers.push_back({weights(QKV_ROWS, H, MATRIX_CELL), weights(H, H, MATRIX_CELL), weights(D, H, UNIT_CELL), weights(H, D, MATRIX_CELL),
                      floats(H, 1, 0.5), floats(H, 1, 0.5), elements(cache), elements(cache)});
  auto *embedding = weights(VOCABULARY, H, MATRIX_CELL);
  auto *norm = floats(H, 1, 0.5), *x = allocate<float>(4 * H), *logits = allocate<float>(4 * VOCABULARY);
  auto *token = allocate<int>(4);
  CHECK(cudaDeviceSynchronize());
  CHECK(cudaMemcpy(token, &TOKEN, 4, cudaMemcpyHostToDevice));
  float *choice;  // the likeliest
  int *chosen;
  CHECK(cudaMallocHost(&choice, 20));
  CHECK(cudaMallocHost(&chosen, 4));
  choice[0] = choice[1] = choice[3] = choice[4] = 0, choice[2] = 1;
  auto *qkv = allocate<attend::Element>(4 * QKV_ROWS), *attended = allocate<attend::Element>(4 * H);
  auto *a = allocate<attend::Element>(4 * D);
  auto *table = floats(CAPACITY * HEAD, 0, 1);
  auto *position = allocate<int>(4);
  CHECK(cudaMemcpy(position, &at, 4, cudaMemcpyHostToDevice));
  // Slot 1; block i of the sequence is block 1 + 7 i mod BLOCKS of the cache.
  auto *slot = allocate<int>(4), *blockTables = allocate<int>(4 * 2 * BLOCKS);
  std::vector<int> blocks(2 * BLOCKS, 0);
  for (int i = 0; i < BLOCKS; i++) blocks[BLOCKS + i] = 1 + i * 7 % BLOCKS;
  const int one = 1;
  CHECK(cudaMemcpy(slot, &one, 4, cudaMemcpyHostToDevice));
  CHECK(cudaMemcpy(blockTables, blocks.data(), 4 * blocks.size(), cudaMemcpyHostToDevice));

  auto chain = record([&] {
    launch(chain_tokens::embed, 1, 256, 0, 1, IN_ORDER, token, embedding, x, H, INT8 ? CMGLU_I8 : CMGLU_F16);
    for (auto &l : layers) {
      multiply(false, (unsigned char *)l.qkv, x, CMGLU_F32, qkv, ACTIVATIONS, l.inputNorm, QKV_ROWS, H);
      chain_attention::Attention p = {};
      p.qkv = qkv, p.keys = l.keys, p.values = l.values, p.output = attended, p.positions = position;
      p.slots = slot, p.blockTables = blockTables, p.blocksPerSequence = BLOCKS, p.decodes = 1;
      p.cosine = table, p.sine = table + CAPACITY * HEAD / 2;
      p.heads = HEADS, p.kvHeads = KV_HEADS, p.window = CAPACITY, p.scale = 1 / sqrtf(HEAD);
      launch(chain_attention::attention, dim3(HEADS / (SMALL == 1 ? BITS == 16 ? 3 : 1 : BITS == 16 ? 4 : 2), SPLITS), 256, 0, SPLITS, EARLY, p);
      multiply(false, (unsigned char *)l.output, attended, ACTIVATIONS, x, CMGLU_F32, nullptr, H, H);
      multiply(true, (unsigned char *)l.up, x, CMGLU_F32, a, ACTIVATIONS, l.unitNorm, D, H);
      multiply(false, (unsigned char *)l.down, a, ACTIVATIONS, x, CMGLU_F32, nullptr, H, D);
    }
    multiply(false, embedding, x, CMGLU_F32, logits, CMGLU_F32, norm, VOCABULARY, H);
  });
  const double each = MATRIX_CELL / 1024.;
  const double layer = each * QKV_ROWS * H + each * H * H + each * D * H + (double)D * H * UNIT_CELL / 1024;
  const double bytes = LAYERS * layer + each * VOCABULARY * H;
  auto report = [&](const char *name, float us) {
    printf("%-36s %6.1f us of %.0f MB: %.2f TB/s\n", name, us, bytes / 1e6, bytes / us / 1e6);
  };
  report("chain", time(chain));
  // Results of one step: logits, the residual, and the new row of every cache.
  auto results = [&](cudaGraphExec_t step) {
    constexpr size_t bytes = HEAD * sizeof(attend::Element);
    const auto row = [&](attend::Element *cache, int kv) {
      const size_t block = blocks[BLOCKS + at / attend::BLOCK] * KV_HEADS + kv;
      return cache + (block * attend::BLOCK + at % attend::BLOCK) * HEAD;
    };
    for (auto &l : layers)
      for (int kv = 0; kv < KV_HEADS; kv++)
        for (auto *cache : {l.keys, l.values}) CHECK(cudaMemset(row(cache, kv), 0xff, bytes));
    CHECK(cudaMemset(x, 0xff, 4 * H));
    CHECK(cudaMemset(logits, 0xff, 4 * VOCABULARY));
    CHECK(cudaDeviceSynchronize());
    CHECK(cudaGraphLaunch(step, stream));
    CHECK(cudaStreamSynchronize(stream));
    std::vector<float> all(VOCABULARY + H + (size_t)LAYERS * 2 * KV_HEADS * HEAD);
    CHECK(cudaMemcpy(all.data(), logits, 4 * VOCABULARY, cudaMemcpyDeviceToHost));
    CHECK(cudaMemcpy(&all[VOCABULARY], x, 4 * H, cudaMemcpyDeviceToHost));
    size_t i = VOCABULARY + H;
    for (auto &l : layers)
      for (int kv = 0; kv < KV_HEADS; kv++)
        for (auto *from : {l.keys, l.values}) {
          CHECK(cudaMemcpy(&all[i], row(from, kv), bytes, cudaMemcpyDeviceToHost));
          i += HEAD;
        }
    return all;
  };
  const auto expected = results(chain);

  Decode d = {};
  std::copy(layers.begin(), layers.end(), d.layers);
  d.token = token, d.position = position, d.embedding = d.head = embedding, d.norm = norm;
  d.residual = x, d.logits = logits, d.vocabulary = VOCABULARY, d.cosine = table, d.sine = table + CAPACITY * HEAD / 2;
  d.slot = slot, d.blockTables = blockTables, d.blocksPerSequence = BLOCKS;
  d.words = allocate<u64>(8ul * (2 + 2 * H + QKV_ROWS + HEADS * HEAD + D + 5 * 255 + HEADS * SPLITS * (HEAD + 2)));
  d.count = LAYERS, d.hidden = H, d.intermediate = D, d.heads = HEADS, d.kvHeads = KV_HEADS;
  d.pieces = pieces, d.activation = ACTIVATION, d.gating = GATING, d.scale = 1 / sqrtf(HEAD), d.epsilon = 1e-5f;
  cudaFuncAttributes attributes;
  CHECK(cudaFuncGetAttributes(&attributes, decode));
  const int fixed = pieces * (D / 64 * 128 + 64) + 2 * 8 * unit::STREAMS * 16 * pieces * 4 + 32 + 64 + (LAYERS + 1) * 64 + 128 + (BLOCKS + 7) / 8 * 4;
  const long most = (227 << 10) - (int)attributes.sharedSizeBytes - fixed;
  printf("decode: %d registers, %d bytes of local and %d of static shared memory, at most %ld bytes of ring\n", attributes.numRegs,
         (int)attributes.localSizeBytes, (int)attributes.sharedSizeBytes, most);
  sample(logits, choice, chosen);
  CHECK(cudaStreamSynchronize(stream));
  const int expected_token = *chosen;
  for (int i = 3; i < count; i++) {
    const long bytes = std::min(most, atol(arguments[i]) << 10) * WARPS * PLANE / (WARPS * PLANE + 16) / 1024 * 1024;
    d.ringBytes = std::max<long>(3 * WARPS * CELL, bytes);
    d.stages = d.ringBytes / (WARPS * PLANE);
    const int shared = d.ringBytes + (d.stages * 16 + 127) / 128 * 128 + fixed;
    const auto step = record([&] { launch(decode, multiprocessors, THREADS + 32, shared, 1, TOGETHER, d); });
    const auto found = results(step);
    size_t different = 0;
    double square = 0, error = 0;
    for (size_t j = 0; j < found.size(); j++) {
      different += memcmp(&found[j], &expected[j], 4) != 0;
      square += (double)expected[j] * expected[j];
      error += ((double)found[j] - expected[j]) * ((double)found[j] - expected[j]);
    }
    char name[64];
    snprintf(name, 64, "a ring of %d KiB", d.ringBytes >> 10);
    report(name, time(step));
    if (different) printf("    %zu of %zu numbers differ, relative error %.2e\n", different, found.size(), sqrt(error / square));
    const auto again = results(step);
    if (memcmp(again.data(), found.data(), found.size() * 4)) printf("    and a second step differs from the first\n");
    for (int how = EARLY; how <= (EARLY | TOGETHER); how++) {
      *chosen = -2;
      snprintf(name, 64, "    %s%s, with choice", how & TOGETHER ? "together " : "", how & EARLY ? "early" : "in order");
      report(name, time(50, [&] {
               launch(decode, multiprocessors, THREADS + 32, shared, 1, how, d);
               sample(logits, choice, chosen);
             }));
      if (*chosen != expected_token) printf("    token %d, expected %d\n", *chosen, expected_token);
    }
  }
  // Temperature, top-k, top-p.
  auto *drawn = floats(VOCABULARY, 0, 3);
  for (const auto &[temperature, k, p] : {std::tuple{0.f, 0.f, 1.f}, {1.f, 0.f, 1.f}, {1.f, 40.f, 1.f}, {1.f, 40.f, 0.9f}}) {
    CHECK(cudaStreamSynchronize(stream));
    choice[0] = temperature, choice[1] = k, choice[2] = p, choice[4] = 0.5f;
    printf("a choice, temperature %g, top-k %2g, top-p %g: %.1f us\n", temperature, k, p,
           time(50, [&] { sample(drawn, choice, chosen, IN_ORDER); }));
  }
#ifdef TIMELINE
  if (count < 4) return 0;
  static unsigned long long all[LAYERS + 1][POINTS][132];
  CHECK(cudaMemcpyFromSymbol(all, timeline, sizeof all));
  const std::pair<int, const char *> points[] = {
      {0, "x staged"}, {1, "qkv done"}, {10, "queries staged"}, {11, "positions done"}, {12, "found"},
      {3, "merged"}, {4, "attended staged"}, {5, "output done"}, {6, "x staged"}, {7, "up done"},
      {8, "inner staged"}, {9, "down done"}};
  for (const auto &[point, name] : points) {
    std::vector<double> times;
    for (int block = 0; block < 128; block++)
      times.push_back(((double)all[8][point][block] - (double)all[7][9][64]) / 1e3);
    std::sort(times.begin(), times.end());
    printf("%-18s %6.1f %6.1f %6.1f\n", name, times[0], times[64], times[127]);
  }
#endif
}
