// attention_train: holds the kernels of Sources/CMGLUKernels/cuda/attention_train.cu against a float64
// reference, and takes their time. One variant is compiled per binary:
//
//     nvcc -O3 -std=c++17 -arch=sm_90 -DHEAD=32 -DGROUP=4 -o attention_train Benchmarks/cuda/attention_train.cu
//     ./attention_train                                    correctness, exits with 1 on a failure
//     ./attention_train --time [sequences length kvHeads]  microseconds a layer
//
// Correctness prints the largest quotient of error and bound, of each result; more than 1 fails. The
// bounds are of what is rounded, u = 2^-8 relative for BF16 (8 bits, to nearest): P and dS before they are multiplied, and
// the results; and of float32, whose scores are off by some 2^-20 of the sum of their products' sizes.
// The backward pass runs twice and has to give the same bits.
//
// Time is of 12 layers with buffers of their own (more than the L2 cache), median of 15 runs. What was
// measured stands in the header of the kernels.
#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include "../../Sources/CMGLUKernels/cuda/attention_train.cu"

#define CHECK(call)                                                            \
  if (cudaError_t error = (call); error != cudaSuccess) {                      \
    fprintf(stderr, "%s: %s\n", #call, cudaGetErrorString(error));             \
    exit(1);                                                                   \
  }

struct Shape {
  int sequences, length, kvHeads;
  int heads() const { return kvHeads * GROUP; }
  size_t tokens() const { return (size_t)sequences * length; }
  size_t width() const { return (size_t)(heads() + 2 * kvHeads) * HEAD; }
  size_t outputWidth() const { return (size_t)heads() * HEAD; }
  size_t rowSums() const { return tokens() * heads(); }
  size_t scratchBytes() const { return (size_t)sequences * kvHeads * ((length * GROUP + 63) / 64) * SCRATCH_BYTES; }
};

template <class T> T *allocate(size_t count) {
  T *memory;
  CHECK(cudaMalloc(&memory, count * sizeof(T)));
  CHECK(cudaMemset(memory, 0xff, count * sizeof(T)));  // NaN: everything has to be written
  return memory;
}

static AttentionTrain arguments(const Shape &s, float *scratch) {
  AttentionTrain a = {};
  a.qkv = allocate<u16>(s.tokens() * s.width()), a.gradient = allocate<u16>(s.tokens() * s.width());
  a.output = allocate<u16>(s.tokens() * s.outputWidth()), a.upstream = allocate<u16>(s.tokens() * s.outputWidth());
  a.logSumExp = allocate<float>(s.rowSums()), a.scratch = (unsigned char *)scratch;
  a.length = a.window = s.length, a.kvHeads = s.kvHeads, a.scale = 1 / sqrtf(HEAD);
  return a;
}

static void launch(void (*kernel)(AttentionTrain), int blocks, int shared, const Shape &s, const AttentionTrain &a) {
  CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared));
  CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, 100));
  kernel<<<dim3(s.kvHeads, s.sequences, blocks), THREADS, shared>>>(a);
  CHECK(cudaGetLastError());
}

static int row_blocks(const Shape &s) { return (s.length * GROUP + 64 * MT - 1) / (64 * MT); }
static void forward(const Shape &s, const AttentionTrain &a) {
  launch(attention_train_forward, row_blocks(s), 4 * TILE_BYTES, s, a);
}
static void queries(const Shape &s, const AttentionTrain &a) {
  launch(attention_train_queries, row_blocks(s), 4 * TILE_BYTES, s, a);
}
static void keys(const Shape &s, const AttentionTrain &a) {
  launch(attention_train_keys, (s.length + 64 * KEYS_MT - 1) / (64 * KEYS_MT), 4 * TILE_BYTES + 2 * SCRATCH_BYTES,
         s, a);
}

// Reference --------------------------------------------------------------------------------------

static u16 to_bfloat(float x) {
  u32 bits;
  memcpy(&bits, &x, 4);
  return (u16)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
static double from_bfloat(u16 x) {
  const u32 bits = (u32)x << 16;
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

struct Bounded {
  std::vector<double> value, bound;
  explicit Bounded(size_t count) : value(count), bound(count) {}
  void add(size_t i, double x, double error) { value[i] += x, bound[i] += error; }
};

constexpr double U = 1.0 / 256, FLOAT = 1.0 / (1 << 20);

// What each result should be, and how far from it rounding may lead. delta is of the output that the
// backward pass was given.
static void reference(
    const Shape &s, const std::vector<u16> &qkv, const std::vector<u16> &upstream, const std::vector<u16> &given,
    Bounded &output, Bounded &logSumExp, Bounded &gradient) {
  std::vector<double> x(qkv.size()), dO(upstream.size()), O(given.size());
  std::transform(qkv.begin(), qkv.end(), x.begin(), from_bfloat);
  std::transform(upstream.begin(), upstream.end(), dO.begin(), from_bfloat);
  std::transform(given.begin(), given.end(), O.begin(), from_bfloat);
  const double scale = 1 / std::sqrt((double)HEAD);
  const size_t width = s.width(), outputWidth = s.outputWidth();
  for (int b = 0; b < s.sequences; b++)
    for (int h = 0; h < s.heads(); h++)
      for (int i = 0; i < s.length; i++) {
        const size_t token = (size_t)b * s.length, own = (token + i) * width + h * HEAD;
        const size_t out = (token + i) * outputWidth + h * HEAD;
        const auto key = [&](int j) { return (token + j) * width + (s.heads() + h / GROUP) * HEAD; };
        const auto value = [&](int j) { return key(j) + s.kvHeads * HEAD; };
        std::vector<double> p(i + 1);
        double largest = -INFINITY, sum = 0, size = 0, delta = 0, deltaSize = 0;
        for (int j = 0; j <= i; j++) {
          double dot = 0, dotSize = 0;
          for (int d = 0; d < HEAD; d++)
            dot += x[own + d] * x[key(j) + d], dotSize += std::fabs(x[own + d] * x[key(j) + d]);
          p[j] = dot * scale, size = std::max(size, dotSize * scale), largest = std::max(largest, p[j]);
        }
        for (double score : p) sum += std::exp(score - largest);
        const double slack = FLOAT * (4 + size);  // relative, of an exponential
        logSumExp.add(((size_t)b * s.heads() + h) * s.length + i, largest + std::log(sum), slack);
        for (double &score : p) score = std::exp(score - largest) / sum;
        for (int d = 0; d < HEAD; d++)
          delta += dO[out + d] * O[out + d], deltaSize += std::fabs(dO[out + d] * O[out + d]);
        for (int j = 0; j <= i; j++) {
          double slope = 0, slopeSize = 0;
          for (int d = 0; d < HEAD; d++) {
            const double v = x[value(j) + d], g = dO[out + d];
            output.add(out + d, p[j] * v, p[j] * std::fabs(v) * (U + slack));
            gradient.add(value(j) + d, p[j] * g, p[j] * std::fabs(g) * (U + slack));
            slope += g * v, slopeSize += std::fabs(g * v);
          }
          const double ds = p[j] * (slope - delta) * scale;
          const double error = std::fabs(ds) * (U + slack) + p[j] * scale * FLOAT * (slopeSize + deltaSize);
          for (int d = 0; d < HEAD; d++) {
            gradient.add(own + d, ds * x[key(j) + d], error * std::fabs(x[key(j) + d]));
            gradient.add(key(j) + d, ds * x[own + d], error * std::fabs(x[own + d]));
          }
        }
      }
  for (auto *result : {&output, &gradient})
    for (size_t i = 0; i < result->value.size(); i++)
      result->bound[i] += (std::fabs(result->value[i]) + result->bound[i]) * U + 1e-30;
}

static bool hold(const char *name, const std::vector<double> &got, const Bounded &expected) {
  double worst = 0;
  for (size_t i = 0; i < got.size(); i++) {
    const double quotient = std::fabs(got[i] - expected.value[i]) / expected.bound[i];
    worst = quotient <= worst ? worst : std::isnan(quotient) ? INFINITY : quotient;
  }
  printf("  %s %.3f", name, worst);
  return worst <= 1;
}

template <class T> std::vector<T> read(const T *memory, size_t count) {
  std::vector<T> values(count);
  CHECK(cudaMemcpy(values.data(), memory, count * sizeof(T), cudaMemcpyDeviceToHost));
  return values;
}
static std::vector<double> widen(const std::vector<u16> &values) {
  std::vector<double> wide(values.size());
  std::transform(values.begin(), values.end(), wide.begin(), from_bfloat);
  return wide;
}

// Random inputs; with an `amplitude` of several, scores are so far apart that maxima have to rise.
static bool check(const Shape &s, float amplitude) {
  const AttentionTrain a = arguments(s, (float *)allocate<unsigned char>(s.scratchBytes()));
  std::mt19937 generator(s.length * 100 + s.kvHeads);
  std::normal_distribution<float> normal;
  std::vector<u16> qkv(s.tokens() * s.width()), upstream(s.tokens() * s.outputWidth());
  for (u16 &x : qkv) x = to_bfloat(amplitude * normal(generator));
  for (u16 &x : upstream) x = to_bfloat(normal(generator));
  CHECK(cudaMemcpy((void *)a.qkv, qkv.data(), qkv.size() * 2, cudaMemcpyHostToDevice));
  CHECK(cudaMemcpy((void *)a.upstream, upstream.data(), upstream.size() * 2, cudaMemcpyHostToDevice));
  std::vector<u16> outputs[2], gradients[2];
  for (int run = 0; run < 2; run++) {
    CHECK(cudaMemset(a.gradient, 0xff, qkv.size() * 2));
    forward(s, a), queries(s, a), keys(s, a);
    CHECK(cudaDeviceSynchronize());
    outputs[run] = read(a.output, upstream.size()), gradients[run] = read(a.gradient, qkv.size());
  }
  const bool same = outputs[0] == outputs[1] && gradients[0] == gradients[1];
  const auto sums = read(a.logSumExp, s.rowSums());
  Bounded output(upstream.size()), logSumExp(sums.size()), gradient(qkv.size());
  reference(s, qkv, upstream, outputs[0], output, logSumExp, gradient);
  printf("%d x %-4d heads %2d/%d amplitude %.0f:", s.sequences, s.length, s.heads(), s.kvHeads, amplitude);
  bool held = hold("output", widen(outputs[0]), output);
  held &= hold("logSumExp", {sums.begin(), sums.end()}, logSumExp);
  held &= hold("gradient", widen(gradients[0]), gradient);
  printf("%s%s\n", same ? "" : "  NOT THE SAME TWICE", held ? "" : "  OUT OF BOUNDS");
  for (void *memory : {(void *)a.qkv, (void *)a.gradient, (void *)a.output, (void *)a.upstream,
                       (void *)a.logSumExp, (void *)a.scratch})
    CHECK(cudaFree(memory));
  return held && same;
}

// Time -------------------------------------------------------------------------------------------

__global__ void randomize(u16 *values, size_t count) {
  for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < count; i += (size_t)gridDim.x * blockDim.x) {
    u32 z = (u32)i * 2654435761u;
    z ^= z >> 15, z *= 0x85ebca6bu, z ^= z >> 13;
    values[i] = __float_as_uint(((z & 0xffff) / 32768.f - 1.f) * 1.7f) >> 16;
  }
}

static float microseconds(int layers, const std::function<void()> &work) {
  std::vector<float> times;
  cudaEvent_t start, end;
  CHECK(cudaEventCreate(&start));
  CHECK(cudaEventCreate(&end));
  for (int i = 0; i < 18; i++) {
    CHECK(cudaEventRecord(start));
    work();
    CHECK(cudaEventRecord(end));
    CHECK(cudaEventSynchronize(end));
    float milliseconds;
    CHECK(cudaEventElapsedTime(&milliseconds, start, end));
    if (i >= 3) times.push_back(milliseconds * 1000 / layers);
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

static void time(const Shape &s) {
  std::vector<AttentionTrain> layers;
  auto *scratch = (float *)allocate<unsigned char>(s.scratchBytes());
  for (int i = 0; i < 12; i++) {
    layers.push_back(arguments(s, scratch));
    randomize<<<1024, 256>>>((u16 *)layers[i].qkv, s.tokens() * s.width());
    randomize<<<1024, 256>>>((u16 *)layers[i].upstream, s.tokens() * s.outputWidth());
  }
  const float first = microseconds(12, [&] { for (auto &a : layers) forward(s, a); });
  const float both = microseconds(12, [&] { for (auto &a : layers) queries(s, a), keys(s, a); });
  const float part = microseconds(12, [&] { for (auto &a : layers) queries(s, a); });
  printf("%d x %d, heads %d/%d of %d: forward %.1f us, backward %.1f us (queries %.1f) a layer\n", s.sequences,
         s.length, s.heads(), s.kvHeads, HEAD, first, both, part);
}

int main(int count, char **words) {
  if (count > 1 && !strcmp(words[1], "--time")) {
    const auto at = [&](int i, int value) { return count > i ? atoi(words[i]) : value; };
    time({at(2, 16), at(3, 1024), at(4, HEAD == 64 ? 8 : 6)});
    return 0;
  }
  printf("HEAD %d, GROUP %d\n", HEAD, GROUP);
  bool held = true;
  for (float amplitude : {1.f, 6.f})
    for (const Shape &s : {Shape{3, 1, 1}, {2, 17, 3}, {1, 64, 2}, {2, 100, 6}, {1, 257, 1}, {1, 257, 6}})
      held &= check(s, amplitude);
  return held ? 0 : 1;
}
