// gatings: activations and gatings as the host numbers them. A part of the sources of units, which
// include it.

enum { SIGMOID = 0, SILU = 1, GELU = 2, GELU_TANH = 3, RELU = 4, IDENTITY = 5 };
enum { LINEAR = 0, GATED = 1, SHARED = 2, MASKED = 3, NO_GATE_MASK = 4, NO_VALUE_MASK = 5 };
