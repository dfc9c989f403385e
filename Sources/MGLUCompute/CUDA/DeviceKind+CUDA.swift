extension DeviceKind {
  /// An NVIDIA GPU, by its number among those that `CUDA_VISIBLE_DEVICES` leaves.
  static let cuda = DeviceKind(name: "cuda", isNumbered: true) {
    ordinal, host throws(BackendError) in
    let device: CUDADevice
    do throws(CUDAError) { device = try CUDADevice.find(ordinal: ordinal) } catch {
      throw BackendError(error)
    }
    return try CUDABackend(device, host: host)
  }
}
