// The numbers of activations, gatings and element types, for C, CUDA and, through C, Swift. CUDA
// sources include this file as text, so it has nothing but enumerations.
#ifndef CMGLU_NUMBERS_H
#define CMGLU_NUMBERS_H

// The gate activation g.
typedef enum {
  CMGLU_SIGMOID,
  CMGLU_SILU,
  CMGLU_GELU,       // x Phi(x), exact
  CMGLU_GELU_TANH,  // the tanh approximation
  CMGLU_RELU,       // relu'(0) = 0
  CMGLU_IDENTITY,
  CMGLU_RELU2,  // relu(x)^2
} cmglu_activation;

// How pre-activation streams become the intermediate activation a.
typedef enum {
  CMGLU_LINEAR,         // a = g(t)
  CMGLU_GATED,          // a = g(s) v            streams [s, v]
  CMGLU_SHARED,         // a = g(t) t
  CMGLU_MASKED,         // a = sum_i p_i g(s_i) (t - s_i)   streams [s_1 .. s_n, t]
  CMGLU_NO_GATE_MASK,   // a = sum_i p_i g(t) (t - s_i)
  CMGLU_NO_VALUE_MASK,  // a = sum_i p_i g(s_i) t
} cmglu_gating;

// The type of the elements of a matrix.
typedef enum {
  CMGLU_F32,
  CMGLU_F16,
  CMGLU_BF16,
  CMGLU_I8,  // groups of 32 elements along a row, each with an FP16 scale
} cmglu_data_type;

#endif
