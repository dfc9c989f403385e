// activations: g(x) of every activation, and with it g'(x) for training. A part of plain.cu,
// fused_linear_unit.cu and training_units.cu, which include it, within their namespaces where they
// have some, and cmglu_numbers.h before it. The CPU's are in vector.h.

// g(x). With EXACT, errors are some of the last of 24 bits; without, exponential and quotient are the fast
// ones, and what they are wrong by disappears in weights of 16 bits.
template <bool EXACT> __device__ __forceinline__ float activate(float x, int activation) {
  switch (activation) {
    case CMGLU_SIGMOID: return EXACT ? 1.f / (1.f + expf(-x)) : __fdividef(1.f, 1.f + __expf(-x));
    case CMGLU_SILU: return EXACT ? x / (1.f + expf(-x)) : __fdividef(x, 1.f + __expf(-x));
    case CMGLU_GELU: return 0.5f * x * (1.f + erff(x * 0.70710678f));
    case CMGLU_GELU_TANH: return 0.5f * x * (1.f + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
    case CMGLU_RELU: return x > 0.f ? x : 0.f;
    case CMGLU_RELU2: return x > 0.f ? x * x : 0.f;
    default: return x;
  }
}

// The fast exponential and quotient: some 2^-20 of relative error, where BF16 rounds by 2^-8.
__device__ __forceinline__ float sigmoid(float x) { return __fdividef(1.f, 1.f + __expf(-x)); }

// Phi(x) and its density, as the CPU's: a polynomial in 1 / (1 + 0.3 |x|) times the density, which
// the derivative needs anyway.
__device__ __forceinline__ float normal_distribution(float x, float &density) {
  const float e = __expf(-0.5f * x * x), t = __fdividef(1.f, 1.f + 0.3f * fabsf(x));
  float p = 0.077741838991642f;
  p = p * t - 0.34288710355758667f;
  p = p * t + 0.46621495485305786f;
  p = p * t - 0.16256460547447205f;
  p = p * t + 0.29121965169906616f;
  p = p * t + 0.18694517016410828f;
  p = p * t + 0.24440918862819672f;
  p = p * t + 0.23890280723571777f;
  p = p * t + 1.8192617062595673e-05f;
  const float tail = 0.5f * e * p;
  density = 0.3989422804f * e;
  return x < 0.f ? tail : 1.f - tail;
}

// g(x) and g'(x), to some 2^-20. Kernels of training name the activation when they are compiled.
__device__ __forceinline__ float activate(float x, int activation, float &slope) {
  switch (activation) {
    case CMGLU_SIGMOID: {
      const float y = sigmoid(x);
      slope = y * (1.f - y);
      return y;
    }
    case CMGLU_SILU: {
      const float y = sigmoid(x);
      slope = y * (1.f + x * (1.f - y));
      return x * y;
    }
    case CMGLU_GELU: {
      float density;
      const float y = normal_distribution(x, density);
      slope = y + x * density;
      return x * y;
    }
    case CMGLU_GELU_TANH: {
      // (1 + tanh u) / 2 = sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3)
      const float y = sigmoid(1.595769122f * (x + 0.044715f * x * x * x));
      slope = y + x * y * (1.f - y) * 1.595769122f * (1.f + 0.134145f * x * x);
      return x * y;
    }
    case CMGLU_RELU:
      slope = x > 0.f ? 1.f : 0.f;
      return x > 0.f ? x : 0.f;
    case CMGLU_RELU2: {
      const float y = x > 0.f ? x : 0.f;
      slope = y + y;
      return y * y;
    }
    default:
      slope = 1.f;
      return x;
  }
}

// g(x) as kernels of training have it.
__device__ __forceinline__ float activate_fast(float x, int activation) {
  float slope;
  return activate(x, activation, slope);
}
