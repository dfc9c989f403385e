// training_kernels: the kernels of training.cu and training_units.cu against float64 on the host,
// run twice and compared bit for bit; with --time, how fast they move their bytes at a real shape.
//
//     nvcc -O3 -std=c++17 -arch=sm_90 -ISources/CMGLUKernels/include -DMASKS=4 -DGATING=3 -DACTIVATION=1 -DROUTED=1 -DWIDE=1
//         -o training_kernels Benchmarks/cuda/training_kernels.cu
//     ./training_kernels [--time]
//
// One variant is compiled, as the -D say (training_units.cu lists them); WIDE=0 takes odd widths.
// The decoder's kernels have no other variants and are tried where MASKS is 0.
//
// Bounds. Inputs are exact in both, kernels compute in float32. A float32 result may be off by 1e-5
// of the largest result: sums of a few thousand terms round by some 1e-6 of it, and the fast
// exponential by 1e-6. A BF16 result may be off by its rounding besides, 2^-8 of itself. Bytes
// behind every tensor are looked at too. Shapes of --time: 16384 tokens, h 768, d 3072, 24 and 12
// heads of 32, vocabulary 50304 in chunks of 4096 rows, 130 M parameters.
#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <vector>

#include "../../Sources/CMGLUKernels/cuda/training.cu"
#include "../../Sources/CMGLUKernels/cuda/training_units.cu"

#define CHECK(call)                                                            \
  if (cudaError_t error = (call); error != cudaSuccess) {                      \
    fprintf(stderr, "%s: %s\n", #call, cudaGetErrorString(error));             \
    exit(1);                                                                   \
  }

// Memory on both sides ----------------------------------------------------------------------------

struct BFloat {
  uint16_t bits;
  operator double() const {
    const uint32_t word = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &word, 4);
    return value;
  }
};

struct Memory {
  static constexpr size_t GUARD = 64;  // bytes behind, that no kernel writes
  static std::vector<Memory *> all;
  void *device = nullptr;
  std::vector<char> input, output;

  explicit Memory(size_t bytes) : input(bytes + GUARD, 0x5a) {
    CHECK(cudaMalloc(&device, input.size()));
    all.push_back(this);
  }
  ~Memory() {
    cudaFree(device);
    all.pop_back();
  }
};
std::vector<Memory *> Memory::all;

static uint32_t state = 1;
static double uniform() {  // in [-1, 1)
  state = state * 1664525u + 1013904223u;
  return (int32_t)state / 2147483648.0;
}

static void assign(BFloat &to, double x) {
  const float value = (float)x;
  uint32_t word;
  memcpy(&word, &value, 4);
  to.bits = (uint16_t)((word + 0x7fff + (word >> 16 & 1)) >> 16);
}
template <class T> static void assign(T &to, double x) { to = (T)x; }

template <class T> struct Buffer : Memory {
  size_t count;
  explicit Buffer(size_t count, double scale = 1, double offset = 0)
      : Memory(count * sizeof(T)), count(count) {
    for (size_t i = 0; i < count; i++) assign((*this)[i], scale * uniform() + offset);
  }
  T &operator[](size_t i) { return ((T *)input.data())[i]; }
  double result(size_t i) const { return ((const T *)output.data())[i]; }
  template <class P> operator P *() const { return (P *)device; }
};
using Bytes16 = Buffer<BFloat>;
using Floats = Buffer<float>;
using Integers = Buffer<int>;

static bool failed = false;
static void report(bool good, const char *name, const char *what, double value) {
  if (good) return;
  printf("FAILED  %s: %s (%g)\n", name, what, value);
  failed = true;
}

// Runs from the same inputs twice; the second run's results must be those of the first.
static void run(const char *name, const std::function<void()> &launch) {
  for (int time = 0; time < 2; time++) {
    for (Memory *m : Memory::all)
      CHECK(cudaMemcpy(m->device, m->input.data(), m->input.size(), cudaMemcpyHostToDevice));
    launch();
    CHECK(cudaGetLastError());
    CHECK(cudaDeviceSynchronize());
    for (Memory *m : Memory::all) {
      std::vector<char> bytes(m->input.size());
      CHECK(cudaMemcpy(bytes.data(), m->device, bytes.size(), cudaMemcpyDeviceToHost));
      report(time == 0 || bytes == m->output, name, "two runs differ", 0);
      report(
          !memcmp(&bytes[bytes.size() - Memory::GUARD], &m->input[bytes.size() - Memory::GUARD],
                  Memory::GUARD), name, "bytes behind a tensor changed", 0);
      m->output = bytes;
    }
  }
}

template <class T>
static void compare(const char *name, const Buffer<T> &found, const std::vector<double> &expected) {
  double scale = 1e-30, worst = 0;
  for (double x : expected) scale = fmax(scale, fabs(x));
  const double rounding = sizeof(T) == 2 ? 1. / 256 : 0;
  for (size_t i = 0; i < expected.size(); i++) {
    const double error =
        fabs(found.result(i) - expected[i]) / (rounding * fabs(expected[i]) + 1e-5 * scale);
    worst = error <= worst ? worst : std::isnan(error) ? INFINITY : error;
  }
  report(worst <= 1, name, "error over its bound", worst);
  printf("%-28s %.3f of its bound\n", name, worst);
}

static unsigned blocks(int64_t items, int64_t each) {
  return (unsigned)((items + each - 1) / each);
}
// Threads that take a row of `width` in equal rounds.
static unsigned threads(int width, int most) {
  const int groups = (width + 7) / 8, rounds = (groups + most - 1) / most;
  return ((groups + rounds - 1) / rounds + 31) / 32 * 32;
}

// Units -------------------------------------------------------------------------------------------

using namespace units;

static double activation(double x, double &slope) {
  const double tanh_factor = sqrt(2 / M_PI);
  switch (ACTIVATION) {
    case SIGMOID: {
      const double y = 1 / (1 + exp(-x));
      slope = y * (1 - y);
      return y;
    }
    case SILU: {
      const double y = 1 / (1 + exp(-x));
      slope = y + x * y * (1 - y);
      return x * y;
    }
    case GELU: {
      const double y = 0.5 * erfc(-x / sqrt(2.));
      slope = y + x * exp(-x * x / 2) / sqrt(2 * M_PI);
      return x * y;
    }
    case GELU_TANH: {
      const double u = tanh(tanh_factor * (x + 0.044715 * x * x * x));
      slope = 0.5 * (1 + u) + 0.5 * x * (1 - u * u) * tanh_factor * (1 + 3 * 0.044715 * x * x);
      return 0.5 * x * (1 + u);
    }
    case RELU: slope = x > 0; return x > 0 ? x : 0;
    default: slope = 1; return x;
  }
}

static void try_combine(int rows, int width) {
  Bytes16 streams((size_t)rows * STREAMS * width, 4), upstream((size_t)rows * width);
  Bytes16 a((size_t)rows * width);
  Floats routes(rows * TERMS, 0.5, 0.5), droutes(rows * TERMS);
  // Large ones, where e^x overflows.
  for (size_t i = 0; i < streams.count; i += 7) assign(streams[i], 200 * uniform());
  std::vector<double> expected(a.count), gradient(streams.count), dp(rows * TERMS);
  for (int row = 0; row < rows; row++)
    for (int j = 0; j < width; j++) {
      const size_t base = (size_t)row * STREAMS * width + j, last = base + (STREAMS - 1) * width;
      const double t = streams[last], da = upstream[(size_t)row * width + j];
      for (int i = 0; i < TERMS; i++) {
        const size_t at = base + i * width;
        const double s = streams[at], p = ROUTED ? routes[row * TERMS + i] : 1;
        const bool is_masked = GATING >= MASKED;
        const bool gates_t = !(GATING == GATED || (is_masked && GATING != NO_GATE_MASK));
        double slope;
        const double g = activation(gates_t ? t : s, slope);
        const double v = GATING == LINEAR ? 1 : is_masked && GATING != NO_VALUE_MASK ? t - s : t;
        expected[(size_t)row * width + j] += p * g * v;
        gradient[gates_t ? last : at] += da * p * slope * v;
        if (GATING != LINEAR) gradient[last] += da * p * g;
        if (is_masked && GATING != NO_VALUE_MASK) gradient[at] -= da * p * g;
        dp[row * TERMS + i] += da * g * v;
      }
    }
  run("combine", [&] { combine<<<rows, threads(width, 256)>>>(streams, routes, a, width); });
  compare("combine", a, expected);
  run("combine_backward", [&] {
    combine_backward<<<rows, threads(width, 256)>>>(
        upstream, streams, routes, streams, droutes, width);
  });
  compare("combine_backward", streams, gradient);
  if (ROUTED) compare("combine_backward: routes", droutes, dp);
}

static void try_stack(int size, bool has_logits_gradient) {
  Floats weight(size), logits((size_t)MASKS * size), dstack((MASKS + 1ull) * size), dweight(size);
  Floats dlogits((size_t)MASKS * size);
  Bytes16 stack((MASKS + 1ull) * size);
  std::vector<double> expected(stack.count), dw(size), dl((size_t)MASKS * size);
  for (int j = 0; j < size; j++) {
    expected[(size_t)MASKS * size + j] = weight[j];
    dw[j] = (double)dweight[j] + dstack[(size_t)MASKS * size + j];
    for (int i = 0; i < MASKS; i++) {
      const size_t at = (size_t)i * size + j;
      if (j % 5 == 0) logits[at] = 0;
      expected[at] = logits[at] > 0 ? weight[j] : 0;
      dw[j] += logits[at] > 0 ? dstack[at] : 0;
      dl[at] = dlogits[at] + (has_logits_gradient ? (double)weight[j] * dstack[at] : 0);
    }
  }
  run("stack_masked", [&] {
    stack_masked<<<blocks(size, 2048), 256>>>(weight, logits, stack, size, MASKS);
  });
  compare("stack_masked", stack, expected);
  run("unstack_gradient", [&] {
    unstack_gradient<<<blocks(size, 1024), 256>>>(
        dstack, weight, logits, dweight, has_logits_gradient ? (float *)dlogits : nullptr, size,
        MASKS);
  });
  compare("unstack_gradient", dweight, dw);
  compare("unstack_gradient: logits", dlogits, dl);
}

static void try_routes(int rows) {
  const int masks = MASKS > 0 ? MASKS : 3;
  Floats routes(rows * masks, 0.5, 0.5), droutes(rows * masks);
  Bytes16 dlogits(rows * masks);
  std::vector<double> expected(rows * masks);
  for (int row = 0; row < rows; row++) {
    double mean = 0;
    for (int i = row * masks; i < (row + 1) * masks; i++) mean += (double)routes[i] * droutes[i];
    for (int i = row * masks; i < (row + 1) * masks; i++)
      expected[i] = routes[i] * (droutes[i] - mean);
  }
  run("route_backward", [&] {
    route_backward<<<blocks(rows, 256), 256>>>(droutes, routes, dlogits, rows, masks);
  });
  compare("route_backward", dlogits, expected);
}

// Decoder -----------------------------------------------------------------------------------------

static void try_embedding(int count, int vocabulary, int width, int kinds) {
  Integers tokens(count);
  Bytes16 table((size_t)vocabulary * width), x((size_t)count * width), dx((size_t)count * width);
  Floats dtable((size_t)vocabulary * width);
  for (int i = 0; i < count; i++)
    tokens[i] = (int)((int64_t)((uniform() + 1) / 2 * kinds) * (vocabulary - 1) / kinds);
  std::vector<double> expected(x.count), gradient(dtable.count);
  for (size_t i = 0; i < dtable.count; i++) gradient[i] = dtable[i];
  for (size_t i = 0; i < x.count; i++) {
    const size_t at = (size_t)tokens[i / width] * width + i % width;
    expected[i] = table[at];
    gradient[at] += dx[i];
  }
  run("embed", [&] { embed<<<blocks(count, 8), 256>>>(tokens, table, x, count, width); });
  compare("embed", x, expected);
  run("embed_backward", [&] {
    embed_backward<<<training::OWNERS, 384>>>(dx, tokens, dtable, count, width);
  });
  compare("embed_backward", dtable, gradient);
}

static void try_norm(int rows, int width, int grid) {
  Bytes16 x((size_t)rows * width), y((size_t)rows * width), up((size_t)rows * width);
  Bytes16 dx((size_t)rows * width);
  Floats weight(width), inverse(rows), dweight(width), partial((size_t)grid * width);
  const float epsilon = 1e-5f;
  std::vector<double> expected(y.count), inverses(rows), gradient(dx.count), dw(width);
  for (int j = 0; j < width; j++) dw[j] = dweight[j];
  for (int row = 0; row < rows; row++) {
    const size_t base = (size_t)row * width;
    double squares = 0, inner = 0;
    for (int j = 0; j < width; j++) {
      squares += (double)x[base + j] * x[base + j];
      inner += (double)up[base + j] * weight[j] * x[base + j];
    }
    const double r = inverses[row] = 1 / sqrt(squares / width + epsilon);
    inverse[row] = (float)r;
    for (int j = 0; j < width; j++) {
      expected[base + j] = weight[j] * x[base + j] * r;
      gradient[base + j] = dx[base + j] + up[base + j] * weight[j] * r -
                           x[base + j] * inner * r * r * r / width;
      dw[j] += up[base + j] * x[base + j] * r;
    }
  }
  run("rms_norm", [&] {
    rms_norm<<<rows, threads(width, 1024)>>>(x, weight, epsilon, y, inverse, width, 1, width);
  });
  compare("rms_norm", y, expected);
  compare("rms_norm: inverse", inverse, inverses);
  run("rms_norm_backward", [&] {
    rms_norm_backward<<<grid, threads(width, 1024), blocks(width, 8) * 32>>>(
        up, x, weight, inverse, dx, partial, rows, width, 1, width, 1);
    add_columns<<<blocks(width, 8), 1024>>>(partial, dweight, grid, width);
  });
  compare("rms_norm_backward", dx, gradient);
  compare("rms_norm_backward: weight", dweight, dw);
}

static dim3 rotation_block(int heads, int half) {
  const int parts = heads * ((half + 7) / 8), x = parts < 256 ? parts : 256;
  return dim3(x, 256 / x);
}

static void try_rotation(int rows, int heads, int others, int half, float direction) {
  const int width = (heads + others) * 2 * half, positions = 50;
  Bytes16 qkv((size_t)rows * width);
  Integers at(rows, 25, 25);
  Floats cosine(positions * half), sine(positions * half);
  std::vector<double> expected(qkv.count);
  for (size_t i = 0; i < qkv.count; i++) {
    const int j = i % width % (2 * half), angle = at[i / width] * half + j % half;
    const double c = cosine[angle], s = sine[angle] * direction;
    expected[i] = (int)(i % width) >= heads * 2 * half ? (double)qkv[i]
                  : j < half                          ? qkv[i] * c - qkv[i + half] * s
                                                      : qkv[i] * c + qkv[i - half] * s;
  }
  const dim3 block = rotation_block(heads, half);
  run("rotate", [&] {
    rotate<<<blocks(rows, block.y), block>>>(
        qkv, at, cosine, sine, direction, rows, width, heads, 2 * half, half);
  });
  compare("rotate", qkv, expected);
}

static void try_loss(int rows, int vocabulary, int width, float scale, bool is_staged) {
  Bytes16 logits((size_t)rows * width, 30);
  Integers targets(rows);
  Floats losses(rows);
  std::vector<double> expected(logits.count), loss(rows);
  for (int row = 0; row < rows; row++) {
    targets[row] = row == 1 ? -1 : row == 2 ? vocabulary - 1 : row * 7 % vocabulary;
    const size_t base = (size_t)row * width;
    double top = -INFINITY, sum = 0;
    for (int j = 0; j < vocabulary; j++) top = fmax(top, logits[base + j]);
    for (int j = 0; j < vocabulary; j++) sum += exp(logits[base + j] - top);
    loss[row] = targets[row] < 0 ? 0 : log(sum) + top - logits[base + targets[row]];
    for (int j = 0; j < width; j++)
      expected[base + j] =
          scale == 0 ? (double)logits[base + j]
          : targets[row] < 0 || j >= vocabulary
              ? 0
              : (exp(logits[base + j] - top) / sum - (j == targets[row])) * scale;
  }
  run("cross_entropy", [&] {
    cross_entropy<<<rows, 512, is_staged ? blocks(width, 8) * 16 : 0>>>(
        logits, targets, losses, scale, vocabulary, width, is_staged);
  });
  compare("cross_entropy", logits, expected);
  compare("cross_entropy: loss", losses, loss);
}

// Optimizer ---------------------------------------------------------------------------------------

static void try_optimizer(size_t count, double squared_norm) {
  Floats w(count), g(count), m(count), v(count, 0.5, 0.5);
  Bytes16 copy(count);
  Buffer<double> norm(1), sum(1), sums(1024);
  norm[0] = squared_norm;
  const bool is_finite = std::isfinite(squared_norm);
  const float step = 0.01f, shrink = 0.99f, unbias = 1.5f, b1 = 0.9f, b2 = 0.95f, epsilon = 1e-8f;
  const float clip = 1;
  std::vector<double> ew(count), eg(count), em(count), ev(count), ec(count), total(1);
  for (size_t i = 0; i < count; i++) {
    const double scaled = sqrt(squared_norm) > clip ? g[i] * clip / sqrt(squared_norm) : g[i];
    total[0] += (double)g[i] * g[i];
    em[i] = is_finite ? b1 * m[i] + (1 - b1) * scaled : m[i];
    ev[i] = is_finite ? b2 * v[i] + (1 - b2) * scaled * scaled : v[i];
    ew[i] = is_finite ? w[i] * shrink - step * em[i] / (sqrt(ev[i] * unbias) + epsilon) : w[i];
    ec[i] = is_finite ? ew[i] : (double)copy[i];
    eg[i] = is_finite ? 0 : g[i];
  }
  run("adamw", [&] {
    adamw<<<7, 256>>>(
        w, g, m, v, copy, norm, count, step, shrink, unbias, b1, b2, epsilon, clip);
  });
  compare("adamw: weights", w, ew);
  compare("adamw: first moment", m, em);
  compare("adamw: second moment", v, ev);
  compare("adamw: gradient", g, eg);
  compare("adamw: copy", copy, ec);
  run("sum_of_squares", [&] {
    sum_of_squares<<<1024, 256>>>(g, sums, count);
    add_sums<<<1, 256>>>(sums, sum, 1024);
  });
  compare("sum_of_squares", sum, total);
  run("convert", [&] { convert<<<blocks(count, 2048), 256>>>(w, copy, count); });
  for (size_t i = 0; i < count; i++) ec[i] = w[i];
  compare("convert", copy, ec);
}

// Time --------------------------------------------------------------------------------------------

__global__ void randomize(unsigned *words, size_t count) {
  for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < count;
       i += (size_t)gridDim.x * blockDim.x) {
    unsigned z = (unsigned)i * 2654435761u;
    z ^= z >> 15, z *= 0x85ebca6bu, z ^= z >> 13;
    words[i] = (z & 0x83ff83ffu) | 0x3c003c00u;  // about 2^-6, as a float or two BF16
  }
}

// Memory of a real shape, from one allocation.
template <class T> static T *area(size_t count) {
  static char *base = nullptr;
  static size_t used = 0, size = 12ull << 30;
  if (!base) {
    CHECK(cudaMalloc(&base, size));
    randomize<<<2048, 256>>>((unsigned *)base, size / 4);
  }
  T *start = (T *)(base + used);
  used += (count * sizeof(T) + 255) / 256 * 256;
  if (used > size) printf("FAILED  no room\n"), exit(1);
  return start;
}

static void time(const char *name, double bytes, const std::function<void()> &launch) {
  cudaEvent_t start, end;
  CHECK(cudaEventCreate(&start));
  CHECK(cudaEventCreate(&end));
  const int times = 20;
  for (int i = -3; i < times; i++) {
    if (i == 0) CHECK(cudaEventRecord(start));
    launch();
  }
  CHECK(cudaEventRecord(end));
  CHECK(cudaEventSynchronize(end));
  float milliseconds;
  CHECK(cudaEventElapsedTime(&milliseconds, start, end));
  const double us = milliseconds * 1000 / times;
  printf(
      "%-18s n_m %-2d %8.1f us %8.1f MB %6.0f GB/s\n", name, MASKS, us, bytes / 1e6,
      bytes / us / 1e3);
}

constexpr int TOKENS = 16384, H = 768, D = 3072, V = 50304, CHUNK = 4096, HEADS = 24, KV_HEADS = 12;
constexpr int HALF = 16, QKV = (HEADS + 2 * KV_HEADS) * 2 * HALF;

static void time_units() {
  u16 *streams = area<u16>((size_t)TOKENS * STREAMS * D), *a = area<u16>((size_t)TOKENS * D);
  float *routes = area<float>(TOKENS * TERMS), *droutes = area<float>(TOKENS * TERMS);
  const double row = 2. * TOKENS * D;
  time("combine", row * (STREAMS + 1), [&] {
    combine<<<TOKENS, threads(D, 256)>>>(streams, routes, a, D);
  });
  time("combine_backward", row * (2 * STREAMS + 1), [&] {
    combine_backward<<<TOKENS, threads(D, 256)>>>(a, streams, routes, streams, droutes, D);
  });
  if (MASKS == 0) return;
  const size_t size = (size_t)D * H;
  float *w = area<float>(size), *l = area<float>(MASKS * size), *dw = area<float>(size);
  float *dl = area<float>(MASKS * size), *dstack = area<float>((MASKS + 1) * size);
  u16 *stack = area<u16>((MASKS + 1) * size), *logits = area<u16>(TOKENS * MASKS);
  time("stack_masked", size * (6. + 6 * MASKS), [&] {
    stack_masked<<<blocks(size, 2048), 256>>>(w, l, stack, size, MASKS);
  });
  time("unstack_gradient", size * (16. + 16 * MASKS), [&] {
    unstack_gradient<<<blocks(size, 1024), 256>>>(dstack, w, l, dw, dl, size, MASKS);
  });
  time("route_backward", TOKENS * 10. * MASKS, [&] {
    route_backward<<<blocks(TOKENS, 256), 256>>>(droutes, routes, logits, TOKENS, MASKS);
  });
}

static void time_decoder() {
  int *tokens = area<int>(TOKENS), *uniform_tokens = area<int>(TOKENS);
  int *positions = area<int>(TOKENS), *targets = area<int>(TOKENS);
  std::vector<int> zipf(TOKENS), even(TOKENS), at(TOKENS), seen(V, 0);
  size_t distinct = 0, distinct_even = 0;
  for (int i = 0; i < TOKENS; i++) {
    // As frequent as words: the k-th has probability of about 1 / (k log V).
    zipf[i] = (int)(exp((uniform() + 1) / 2 * log((double)V)) - 1) % V;
    even[i] = (int)((uniform() + 1) / 2 * V) % V;
    at[i] = i % 2048;
    if (!(seen[zipf[i]] & 1)) distinct++;
    if (!(seen[even[i]] & 2)) distinct_even++;
    seen[zipf[i]] |= 1, seen[even[i]] |= 2;
  }
  CHECK(cudaMemcpy(tokens, zipf.data(), TOKENS * 4, cudaMemcpyHostToDevice));
  CHECK(cudaMemcpy(uniform_tokens, even.data(), TOKENS * 4, cudaMemcpyHostToDevice));
  CHECK(cudaMemcpy(positions, at.data(), TOKENS * 4, cudaMemcpyHostToDevice));
  CHECK(cudaMemcpy(targets, even.data(), TOKENS * 4, cudaMemcpyHostToDevice));
  const size_t size = (size_t)TOKENS * H;
  u16 *table = area<u16>((size_t)V * H), *x = area<u16>(size), *y = area<u16>(size);
  u16 *dx = area<u16>(size);
  float *dtable = area<float>((size_t)V * H), *weight = area<float>(H), *dweight = area<float>(H);
  float *inverse = area<float>(TOKENS), *partial = area<float>(1024 * H);
  time("embed", size * 4., [&] {
    embed<<<blocks(TOKENS, 8), 256>>>(uniform_tokens, table, x, TOKENS, H);
  });
  time("embed_backward", size * 2. + distinct * H * 8., [&] {
    embed_backward<<<training::OWNERS, 384>>>(dx, tokens, dtable, TOKENS, H);
  });
  time("  even tokens", size * 2. + distinct_even * H * 8., [&] {
    embed_backward<<<training::OWNERS, 384>>>(dx, uniform_tokens, dtable, TOKENS, H);
  });
  time("rms_norm", size * 4., [&] {
    rms_norm<<<TOKENS, threads(H, 1024)>>>(x, weight, 1e-5f, y, inverse, H, 1, H);
  });
  time("rms_norm_backward", size * 8., [&] {
    rms_norm_backward<<<1024, threads(H, 1024), H * 4>>>(
        y, x, weight, inverse, dx, partial, TOKENS, H, 1, H, 1);
    add_columns<<<blocks(H, 8), 1024>>>(partial, dweight, 1024, H);
  });
  u16 *qkv = area<u16>((size_t)TOKENS * QKV);
  float *cosine = area<float>(2048 * HALF), *sine = area<float>(2048 * HALF);
  const dim3 block = rotation_block(HEADS + KV_HEADS, HALF);
  time("rotate", TOKENS * (HEADS + KV_HEADS) * 2. * HALF * 4, [&] {
    rotate<<<blocks(TOKENS, block.y), block>>>(
        qkv, positions, cosine, sine, 1, TOKENS, QKV, HEADS + KV_HEADS, 2 * HALF, HALF);
  });
  u16 *logits = area<u16>((size_t)CHUNK * V);
  float *losses = area<float>(CHUNK);
  time("cross_entropy", CHUNK * 4. * V, [&] {
    cross_entropy<<<CHUNK, 512, V * 2>>>(logits, targets, losses, 1e-4f, V - 47, V, 1);
  });
  time("  from memory twice", CHUNK * 6. * V, [&] {
    cross_entropy<<<CHUNK, 512>>>(logits, targets, losses, 1e-4f, V - 47, V, 0);
  });
  time("  loss only", CHUNK * 2. * V, [&] {
    cross_entropy<<<CHUNK, 512>>>(logits, targets, losses, 0, V - 47, V, 0);
  });
  const size_t count = 124 << 20;
  float *w = area<float>(count), *g = area<float>(count), *m = area<float>(count);
  float *v = area<float>(count);
  u16 *copy = area<u16>(count);
  double *norm = area<double>(1), *sums = area<double>(1024);
  time("sum_of_squares", count * 4., [&] {
    sum_of_squares<<<1024, 256>>>(g, sums, count);
    add_sums<<<1, 256>>>(sums, norm, 1024);
  });
  time("convert", count * 6., [&] { convert<<<blocks(count, 2048), 256>>>(w, copy, count); });
  time("adamw", count * 34., [&] {
    adamw<<<132 * 8, 256>>>(
        w, g, m, v, copy, norm, count, 1e-3f, 0.999f, 1, 0.9f, 0.95f, 1e-8f, 1);
  });
}

int main(int count, char **arguments) {
  printf(
      "MASKS %d GATING %d ACTIVATION %d ROUTED %d WIDE %d\n", MASKS, GATING, ACTIVATION, ROUTED,
      WIDE);
  CHECK(cudaFuncSetAttribute(
      cross_entropy, cudaFuncAttributeMaxDynamicSharedMemorySize, 200 << 10));
  CHECK(cudaFuncSetAttribute(
      rms_norm_backward, cudaFuncAttributeMaxDynamicSharedMemorySize, 200 << 10));
  try_combine(37, WIDE ? 776 : 771);
  try_combine(3, WIDE ? 8 : 3);
  try_combine(2, WIDE ? 4104 : 4103);
  try_stack(WIDE ? 10008 : 9999, true);
  try_stack(WIDE ? 8 : 5, false);
  try_routes(300);
  if (MASKS == 0) {
    try_embedding(9000, 3000, WIDE ? 776 : 771, 500);
    try_embedding(5000, 70000, WIDE ? 8 : 7, 69000);
    try_embedding(700, 10, WIDE ? 1608 : 1601, 1);
    try_norm(70, WIDE ? 776 : 771, 16);
    try_norm(5, WIDE ? 16 : 1, 8);
    try_norm(9, WIDE ? 8808 : 8803, 4);
    try_rotation(45, 7, 3, WIDE ? 16 : 9, 1);
    try_rotation(5, 40, 3, WIDE ? 64 : 67, -1);
    try_loss(9, 1003, WIDE ? 1008 : 1005, 0.3f, true);
    try_loss(9, 5003, WIDE ? 5056 : 5003, 0.3f, false);
    try_loss(9, 50257, WIDE ? 50304 : 50257, 1e-4f, true);
    try_loss(9, 5, WIDE ? 24 : 5, 0, false);
    try_optimizer(100003, 9);
    try_optimizer(70, 0.25);
    try_optimizer(1027, INFINITY);
    try_optimizer(1027, NAN);
  }
  if (count > 1 && !strcmp(arguments[1], "--time")) {
    time_units();
    if (MASKS == 0) time_decoder();
  }
  CHECK(cudaDeviceSynchronize());
  printf(failed ? "FAILED\n" : "all good\n");
  return failed;
}
