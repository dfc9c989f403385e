import CMGLUKernels

// The numbers that kernels in C and CUDA know gatings, activations and types by: those of
// cmglu_numbers.h, which both include.

extension Gating {
  /// The number of masks.
  var masks: Int { if case .masked(let count, _) = self { count } else { 0 } }

  /// Matrices: the gate's and the value's, or one.
  var planes: Int { self == .gated ? 2 : 1 }

  var kernelValue: cmglu_gating {
    switch self {
    case .linear: CMGLU_LINEAR
    case .gated: CMGLU_GATED
    case .shared: CMGLU_SHARED
    case .masked(_, nil): CMGLU_MASKED
    case .masked(_, .noGateMask): CMGLU_NO_GATE_MASK
    case .masked(_, .noValueMask): CMGLU_NO_VALUE_MASK
    }
  }
}

extension Activation {
  var kernelValue: cmglu_activation {
    switch self {
    case .sigmoid: CMGLU_SIGMOID
    case .silu: CMGLU_SILU
    case .gelu: CMGLU_GELU
    case .geluTanh: CMGLU_GELU_TANH
    case .relu: CMGLU_RELU
    case .relu2: CMGLU_RELU2
    case .identity: CMGLU_IDENTITY
    }
  }
}

extension DataType {
  /// - Precondition: kernels take the type.
  var kernelValue: cmglu_data_type {
    switch self {
    case .float32: CMGLU_F32
    case .float16: CMGLU_F16
    case .bfloat16: CMGLU_BF16
    case .int8: CMGLU_I8
    default: preconditionFailure("no kernel takes \(self)")
    }
  }
}
