/// What kept a GPU from being used.
public enum CUDAProblem: Sendable, Equatable {
  /// There is no NVIDIA driver.
  case noDriver
  /// The driver is older than what is asked of it.
  case driverTooOld
  /// There is no such GPU.
  case noDevice
  /// The GPU is older than compute capability 8.0, or lacks something else that is needed.
  case unsupportedDevice
  /// The GPU's memory, or pinned memory of this machine, is used up.
  case outOfMemory
  /// The driver does not take what the compiler made.
  case invalidImage
  /// A kernel failed while it ran; nothing more can be computed in this process.
  case kernelFault
  /// There is no NVRTC.
  case noCompiler
  /// There is no cuBLASLt.
  case noProducts
  /// cuBLASLt refused a product.
  case product
  /// A kernel's source does not compile.
  case compilation
  /// There is no embedded source, or no kernel in it, of that name.
  case unknownKernel
  /// Any other `CUresult`.
  case call(Int32)
}

/// An error of CUDA: the name CUDA gives it, the call, and what to do where that is known.
public typealias CUDAError = Failure<CUDAProblem>

extension CUDAProblem {
  /// The kind of a `CUresult` that is not 0.
  init(result: Int32) {
    self =
      switch result {
      case 2: .outOfMemory
      case 34: .noDriver  // CUDA_ERROR_STUB_LIBRARY: the toolkit's file for linking
      case 36, 222, 803, 804: .driverTooOld
      case 100, 101: .noDevice
      case 200, 209, 218, 221, 300: .invalidImage
      case 500: .unknownKernel
      // Errors that the documentation says leave the process in an inconsistent state.
      case 214, 220, 226, 700, 702, 710, 714...719, 721: .kernelFault
      default: .call(result)
      }
  }

  /// What to do about it, where it does not depend on the call.
  var remedy: String? {
    switch self {
    case .noDriver:
      "install NVIDIA's driver (https://www.nvidia.com/drivers); in a container, start it with "
        + "the GPUs (docker run --gpus all), or name the library in MGLU_LIBCUDA"
    case .driverTooOld:
      "install a newer NVIDIA driver, or an NVRTC that is no newer than the driver "
        + "(pip install 'nvidia-cuda-nvrtc==13.0.*' for driver 580, nvidia-cuda-nvrtc-cu12 for "
        + "525 to 575)"
    case .noDevice:
      "nvidia-smi -L lists the GPUs; CUDA_VISIBLE_DEVICES may hide them"
    case .unsupportedDevice: nil
    case .outOfMemory:
      "end what else uses the GPU (nvidia-smi), or use a smaller model, batch or context"
    case .invalidImage:
      "NVRTC and the driver may not fit together: use an NVRTC that is no newer than the driver"
    case .kernelFault:
      "a kernel is at fault: compute-sanitizer finds where; this process cannot go on"
    case .noCompiler:
      "install it (pip install 'nvidia-cuda-nvrtc==13.0.*', or the CUDA toolkit), or name the "
        + "library in MGLU_NVRTC"
    case .noProducts:
      "install it (pip install 'nvidia-cublas==13.*', or the CUDA toolkit), or name the library "
        + "in MGLU_CUBLASLT"
    case .product, .compilation, .unknownKernel, .call: nil
    }
  }
}
