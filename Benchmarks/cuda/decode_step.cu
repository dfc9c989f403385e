// decode_step: a decoder's step of all layers by decode.cu, beside the chain of flash.cu and
// attention.cu that computes the same: time of a layer, and whether results are the same bits.
//
//     nvcc -O3 -std=c++20 -arch=sm_90 -DUNIT_MASKS=4 -DUNIT_PLANES=1 -o decode_step Benchmarks/cuda/decode_step.cu
//     ./decode_step [pieces] [position] [KiB of the ring] ...
//
// Layers have the shape of paper-large (h 2048, d 8192, 32 heads, 8 key-value heads). SwiGLU is
// UNIT_MASKS 0 and UNIT_PLANES 2. Weights, caches and norms are random. With -DTIMELINE it prints when
// the first block, half and all of them reach the points of a layer in the middle, in microseconds.
// Needs compute capability 9.0.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

#define QUERIES 2
#define MASKS 0
#define PLANES 1
#define flash flash_projection
namespace chain_projection {
#include "../../Sources/CMGLUKernels/cuda/flash.cu"
}
#undef flash
#undef MASKS
#undef PLANES
#define MASKS UNIT_MASKS
#define PLANES UNIT_PLANES
#define flash flash_unit
namespace chain_unit {
#include "../../Sources/CMGLUKernels/cuda/flash.cu"
}
#undef flash
#undef MASKS
#undef PLANES
namespace chain_attention {
#include "../../Sources/CMGLUKernels/cuda/attention.cu"
}

constexpr int LAYERS = 16;
#ifdef TIMELINE
constexpr int POINTS = 13;
__device__ unsigned long long timeline[LAYERS][POINTS][132];
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

constexpr int H = 2048, D = 8192, HEADS = 32, KV_HEADS = 8, CAPACITY = 1024;
constexpr int QKV = (HEADS + 2 * KV_HEADS) * HEAD;
constexpr int UNIT_CELL = UNIT_PLANES * 2048 + UNIT_MASKS * 128;
constexpr int ACTIVATION = 1, GATING = UNIT_MASKS ? 3 : UNIT_PLANES == 2 ? 1 : 0;
static int pieces = 1, multiprocessors = 132;
static cudaStream_t stream;

__global__ void randomise(unsigned *words, size_t count, unsigned seed) {
  for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < count; i += (size_t)gridDim.x * blockDim.x) {
    unsigned z = ((unsigned)i + seed) * 2654435761u;
    z ^= z >> 15, z *= 0x85ebca6bu, z ^= z >> 13, z *= 0xc2b2ae35u, z ^= z >> 16;
    words[i] = (z & 0x83ff83ffu) | 0x24002400u;  // halves of about 2^-6
  }
}
// Masks' words become random bits.
__global__ void randomise_masks(unsigned char *cells, size_t count) {
  for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < count * UNIT_MASKS * 32; i += (size_t)gridDim.x * blockDim.x) {
    unsigned z = (unsigned)i * 2246822519u;
    z ^= z >> 15, z *= 0x85ebca6bu, z ^= z >> 13, z *= 0xc2b2ae35u, z ^= z >> 16;
    ((unsigned *)(cells + i / (UNIT_MASKS * 32 + !UNIT_MASKS) * UNIT_CELL + UNIT_PLANES * 2048))[i % (UNIT_MASKS * 32 + !UNIT_MASKS)] = z;
  }
}
__global__ void randomise_floats(float *x, size_t count, unsigned seed, float centre, float width) {
  for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < count; i += (size_t)gridDim.x * blockDim.x) {
    unsigned z = ((unsigned)i + seed) * 2654435761u;
    z ^= z >> 15, z *= 0x85ebca6bu, z ^= z >> 13, z *= 0xc2b2ae35u, z ^= z >> 16;
    x[i] = centre + width * ((float)z / 2147483648.f - 1.f);
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
  const size_t count = (size_t)rows / 16 * (columns / 64);
  auto *memory = allocate<unsigned char>(count * cell);
  randomise<<<2048, 256>>>((unsigned *)memory, count * cell / 4, seed += 77777);
  if (cell != 2048 && UNIT_MASKS) randomise_masks<<<2048, 256>>>(memory, count);
  return memory;
}
static float *floats(size_t count, float centre, float width) {
  auto *memory = allocate<float>(count * 4);
  randomise_floats<<<2048, 256>>>(memory, count, seed += 77777, centre, width);
  return memory;
}

// A cluster of 0 blocks stands for all of them together, in plain order.
template <class Arguments>
void launch(void (*kernel)(Arguments), dim3 grid, int threads, int shared, int cluster, Arguments arguments) {
  cudaLaunchAttribute attributes[2] = {};
  if (cluster == 0) {
    attributes[0].id = cudaLaunchAttributeCooperative;
    attributes[0].val.cooperative = 1;
  } else {
    attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[0].val.programmaticStreamSerializationAllowed = 1;
  }
  attributes[1].id = cudaLaunchAttributeClusterDimension;
  attributes[1].val.clusterDim = {1, (unsigned)cluster, 1};
  cudaLaunchConfig_t config = {};
  config.gridDim = grid, config.blockDim = threads, config.dynamicSmemBytes = shared, config.stream = stream;
  config.attrs = attributes, config.numAttrs = cluster > 1 ? 2 : 1;
  cudaFuncAttributes a;
  CHECK(cudaFuncGetAttributes(&a, kernel));
  CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (227 << 10) - (int)a.sharedSizeBytes));
  CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, 100));
  CHECK(cudaLaunchKernelEx(&config, kernel, arguments));
}

static void multiply(
    bool isUnit, unsigned char *cells, float *x, float *output, const float *norm, int rows, int columns) {
  chain_projection::Flash f = {};
  f.cells = cells, f.x = x, f.output = output, f.norm = norm;
  f.outputStride = f.rows = rows, f.columns = columns, f.batch = 1, f.pieces = pieces;
  f.activation = isUnit ? ACTIVATION : 5, f.gating = isUnit ? GATING : 0;
  f.accumulate = norm == nullptr, f.epsilon = 1e-5f, f.isChained = 1;
  const int streams = !isUnit ? 1 : UNIT_PLANES == 2 ? 2 : UNIT_MASKS + 1, cell = isUnit ? UNIT_CELL : 2048;
  const int grid = std::min(rows / 16, multiprocessors), own = columns / 64 / 8 * ((rows / 16 + grid - 1) / grid);
  const int fixed = pieces * (columns / 64 * 128 + 64) + pieces * 2 * 8 * streams * 16 * 4 + 64;
  f.stages = std::min({12, own, ((150 << 10) - fixed - 256) / (8 * (cell + 8))});
  const int shared = 8 * f.stages * cell + (8 * f.stages * 8 + 127) / 128 * 128 + fixed;
  if (!isUnit) launch(chain_projection::flash_projection, grid, 256, shared, 1, f);
  else launch(chain_unit::flash_unit, grid, 256, shared, 1, *(chain_unit::Flash *)&f);
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

static float time(cudaGraphExec_t step) {
  std::vector<float> times;
  for (int i = 0; i < 25; i++) {
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
  return times[times.size() / 2];
}

int main(int count, char **arguments) {
  if (count > 1) pieces = atoi(arguments[1]);
  const int at = count > 2 ? atoi(arguments[2]) : 512;
  CHECK(cudaStreamCreate(&stream));
  CHECK(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0));
  std::vector<Layer> layers;
  const size_t cache = (size_t)KV_HEADS * CAPACITY * HEAD;
  for (int l = 0; l < LAYERS; l++)
    layers.push_back({weights(QKV, H, 2048), weights(H, H, 2048), weights(D, H, UNIT_CELL), weights(H, D, 2048),
                      floats(H, 1, 0.5), floats(H, 1, 0.5), floats(cache, 0, 2), floats(cache, 0, 2)});
  auto *x = floats(H, 0, 1), *initial = allocate<float>(4 * H);
  CHECK(cudaDeviceSynchronize());
  CHECK(cudaMemcpy(initial, x, 4 * H, cudaMemcpyDeviceToDevice));
  auto *qkv = allocate<float>(4 * QKV), *attended = allocate<float>(4 * H), *a = allocate<float>(4 * D);
  auto *table = floats(CAPACITY * HEAD, 0, 1);
  auto *position = allocate<int>(4);
  CHECK(cudaMemcpy(position, &at, 4, cudaMemcpyHostToDevice));

  auto chain = record([&] {
    for (auto &l : layers) {
      multiply(false, (unsigned char *)l.qkv, x, qkv, l.inputNorm, QKV, H);
      chain_attention::Attention p = {};
      p.qkv = qkv, p.keys = l.keys, p.values = l.values, p.output = attended, p.positions = position;
      p.cosine = table, p.sine = table + CAPACITY * HEAD / 2;
      p.heads = HEADS, p.kvHeads = KV_HEADS, p.capacity = CAPACITY, p.scale = 0.125f;
      launch(chain_attention::attention, dim3(HEADS / QUERIES, SPLITS), 256, 0, SPLITS, p);
      multiply(false, (unsigned char *)l.output, attended, x, nullptr, H, H);
      multiply(true, (unsigned char *)l.up, x, a, l.unitNorm, D, H);
      multiply(false, (unsigned char *)l.down, a, x, nullptr, H, D);
    }
  });
  const double bytes = 2. * QKV * H + 2. * H * H + 2. * D * H + (double)D * H * UNIT_CELL / 1024;
  auto report = [&](const char *name, float us) {
    printf("%-28s %6.1f us a layer of %.1f MB: %.2f TB/s\n", name, us, bytes / 1e6, bytes / us / 1e6);
  };
  report("chain", time(chain));
  // Results of one step: the residual, and the new row of every cache.
  auto results = [&](cudaGraphExec_t step) {
    const size_t row = (size_t)at * HEAD;
    for (auto &l : layers)
      for (int kv = 0; kv < KV_HEADS; kv++) {
        CHECK(cudaMemset(l.keys + (size_t)kv * CAPACITY * HEAD + row, 0xff, 4 * HEAD));
        CHECK(cudaMemset(l.values + (size_t)kv * CAPACITY * HEAD + row, 0xff, 4 * HEAD));
      }
    CHECK(cudaMemcpy(x, initial, 4 * H, cudaMemcpyDeviceToDevice));
    CHECK(cudaDeviceSynchronize());
    CHECK(cudaGraphLaunch(step, stream));
    CHECK(cudaStreamSynchronize(stream));
    std::vector<float> all(H + (size_t)LAYERS * 2 * KV_HEADS * HEAD);
    CHECK(cudaMemcpy(all.data(), x, 4 * H, cudaMemcpyDeviceToHost));
    size_t i = H;
    for (auto &l : layers)
      for (int kv = 0; kv < KV_HEADS; kv++)
        for (auto *from : {l.keys, l.values}) {
          CHECK(cudaMemcpy(&all[i], from + (size_t)kv * CAPACITY * HEAD + row, 4 * HEAD, cudaMemcpyDeviceToHost));
          i += HEAD;
        }
    return all;
  };
  const auto expected = results(chain);

  Decode d = {};
  std::copy(layers.begin(), layers.end(), d.layers);
  d.position = position, d.residual = x, d.cosine = table, d.sine = table + CAPACITY * HEAD / 2;
  d.splits = SPLITS;
  d.words = allocate<u64>(8ul * (2 + 2 * H + QKV + HEADS * HEAD + D + HEADS * SPLITS * (HEAD + 2)));
  d.count = LAYERS, d.hidden = H, d.intermediate = D, d.heads = HEADS, d.kvHeads = KV_HEADS, d.capacity = CAPACITY;
  d.pieces = pieces, d.activation = ACTIVATION, d.gating = GATING, d.scale = 0.125f, d.epsilon = 1e-5f;
  cudaFuncAttributes attributes;
  CHECK(cudaFuncGetAttributes(&attributes, decode));
  const int fixed = pieces * (D / 64 * 128 + 64) + 2 * 8 * unit::STREAMS * 16 * pieces * 4 + 32 + 64 + LAYERS * 64 + 128;
  const long most = (227 << 10) - (int)attributes.sharedSizeBytes - fixed;
  printf("decode: %d registers, %d bytes of local and %d of static shared memory, at most %ld bytes of ring\n", attributes.numRegs,
         (int)attributes.localSizeBytes, (int)attributes.sharedSizeBytes, most);
  cudaGraphExec_t last = nullptr;
  for (int i = 3; i < count; i++) {
    const long bytes = std::min(most, atol(arguments[i]) << 10) * PLANE / (WARPS * PLANE + 16) / 128 * 128;
    d.ringBytes = std::max<long>(3 * CELL, bytes);
    d.stages = d.ringBytes / PLANE;
    const int shared = WARPS * d.ringBytes + (d.stages * 16 + 127) / 128 * 128 + fixed;
    last = record([&] { launch(decode, multiprocessors, THREADS + 32, shared, 0, d); });
    const auto found = results(last);
    size_t different = 0;
    double square = 0, error = 0;
    for (size_t j = 0; j < found.size(); j++) {
      different += memcmp(&found[j], &expected[j], 4) != 0;
      square += (double)expected[j] * expected[j];
      error += ((double)found[j] - expected[j]) * ((double)found[j] - expected[j]);
    }
    char name[64];
    snprintf(name, 64, "a ring of %d KiB", WARPS * d.ringBytes >> 10);
    report(name, time(last));
    if (different) printf("    %zu of %zu numbers differ, relative error %.2e\n", different, found.size(), sqrt(error / square));
    const auto again = results(last);
    if (memcmp(again.data(), found.data(), found.size() * 4)) printf("    and a second step differs from the first\n");
  }
#ifdef TIMELINE
  if (!last) return 0;
  static unsigned long long all[LAYERS][POINTS][132];
  CHECK(cudaMemcpyFromSymbol(all, timeline, sizeof all));
  const char *points[] = {"down done", "x staged", "qkv done", "attention done", "attended staged",
                          "output done", "x staged", "up done", "inner staged", "down done",
                          "queries staged", "positions done", "found merged"};
  for (int point = 0; point < POINTS; point++) {
    std::vector<double> times;
    for (int block = 0; block < 128; block++)
      times.push_back(((double)all[8][point][block] - (double)all[8][0][64]) / 1e3);
    std::sort(times.begin(), times.end());
    printf("%-18s %6.1f %6.1f %6.1f\n", points[point], times[0], times[64], times[127]);
  }
#endif
}
