#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// What kept memory from being used.
public enum MemoryProblem: Sendable {
  /// More is needed than the machine has.
  case tooSmall
}

/// An error of planning memory.
public typealias MemoryError = Failure<MemoryProblem>

/// The machine's memory: systems promise more than they have, and end who uses it.
public enum PhysicalMemory {
  /// Bytes of the machine's memory that this process may have: less than all where its container or `ulimit -v`
  /// has a limit.
  public static let byteCount = min(machineByteCount, MemoryLimit.byteCount ?? .max)
  private static let machineByteCount =
    Int(sysconf(Int32(_SC_PHYS_PAGES))) * Int(sysconf(Int32(_SC_PAGESIZE)))

  /// Throws unless `bytes` bytes leave something for everything else.
  public static func require(
    _ bytes: Double, for purpose: String, remedy: String
  ) throws(MemoryError) {
    guard bytes > 0.9 * Double(byteCount) else { return }
    throw MemoryError(
      .tooSmall,
      "\(purpose) takes \(gibibytes(bytes)), "
        + (byteCount < machineByteCount ? "this process may have " : "this machine has ")
        + gibibytes(Double(byteCount)),
      remedy: remedy)
  }

  /// Throws unless `bytes` bytes can be allocated where a backend computes: on its device, of which
  /// ``Backend/deviceMemory`` is `device`, or, without one, in the machine's memory.
  public static func require(
    _ bytes: Double, on device: (free: Int, total: Int)?, for purpose: String, remedy: String
  ) throws(MemoryError) {
    guard let device else { return try require(bytes, for: purpose, remedy: remedy) }
    // What kernels and their scratch need beside.
    let reserve = 0x1p29
    guard bytes + reserve > Double(device.free) else { return }
    throw MemoryError(
      .tooSmall,
      "\(purpose) takes \(gibibytes(bytes)), and kernels some beside it: the GPU has "
        + "\(gibibytes(Double(device.free))) of \(gibibytes(Double(device.total))) free",
      remedy: remedy)
  }

  /// As messages say it: 13.6 GiB.
  package static func gibibytes(_ bytes: Double) -> String {
    bytes < 0x1p30 / 10
      ? "\((bytes / 0x1p20 * 10).rounded() / 10) MiB"
      : "\((bytes / 0x1p30 * 10).rounded() / 10) GiB"
  }
}
