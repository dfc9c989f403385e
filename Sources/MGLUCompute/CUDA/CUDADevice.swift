/// The generation of a GPU: 9.0 is Hopper.
public struct CUDACapability: Sendable, Equatable, Comparable, CustomStringConvertible {
  /// The generation.
  public let major: Int
  /// The variant within it.
  public let minor: Int

  /// A capability.
  public init(_ major: Int, _ minor: Int) { (self.major, self.minor) = (major, minor) }

  /// The oldest that the kernels are made for: Ampere, 8.0.
  public static let oldest = CUDACapability(8, 0)

  /// The capability that a text such as 8.0 says.
  package init?(_ text: String) {
    let numbers = text.split(separator: ".", omittingEmptySubsequences: false).map { Int($0) }
    guard numbers.count == 2, let major = numbers[0], let minor = numbers[1] else { return nil }
    self.init(major, minor)
  }

  public var description: String { "\(major).\(minor)" }

  public static func < (a: CUDACapability, b: CUDACapability) -> Bool {
    (a.major, a.minor) < (b.major, b.minor)
  }
}

/// An NVIDIA GPU: what it is, without holding on to it.
public struct CUDADevice: Sendable {
  /// Its number, as in `cuda:0`, among those that `CUDA_VISIBLE_DEVICES` leaves.
  public let ordinal: Int
  /// Its name.
  public let name: String
  /// Its generation, or the older one that `MGLU_CUDA_CAPABILITY` has it stand for, so that what is
  /// made for that one can be verified on this.
  public let capability: CUDACapability
  /// Whether it stands for an older one.
  let standsForOlder: Bool
  /// Streaming multiprocessors.
  public let multiprocessorCount: Int
  /// Bytes of memory.
  public let memoryByteCount: Int
  /// Bytes of the second-level cache.
  public let l2ByteCount: Int
  /// The most shared memory of a block, in bytes, of which more than 48 KiB is asked for through
  /// ``CUDAFunction/setDynamicSharedMemory(_:)``.
  public let sharedBytesPerBlock: Int
  /// Shared memory of a multiprocessor in bytes.
  public let sharedBytesPerMultiprocessor: Int
  /// What memory's clock and width allow to read in a second, in bytes, or `nil` where the driver
  /// does not tell.
  public let peakBytesPerSecond: Double?
  let handle: Int32
  let hasUnifiedAddressing: Bool

  /// Every GPU that the driver shows; empty where there is none.
  ///
  /// - Throws: ``CUDAProblem/noDriver`` where there is no driver either.
  public static var all: [CUDADevice] {
    get throws(CUDAError) {
      let driver: CUDADriver
      do throws(CUDAError) { driver = try CUDADriver.shared() } catch {
        if error.code == .noDevice { return [] }
        throw error
      }
      var count: Int32 = 0
      try driver.check(driver.functions.cuDeviceGetCount(&count), "cuDeviceGetCount")
      var devices: [CUDADevice] = []
      for ordinal in 0..<Int(count) { devices.append(try CUDADevice(ordinal, driver)) }
      return devices
    }
  }

  /// The GPU of that number.
  ///
  /// - Throws: ``CUDAProblem/noDevice``, which names those that there are.
  public static func find(ordinal: Int) throws(CUDAError) -> CUDADevice {
    let devices = try all
    guard devices.indices.contains(ordinal) else {
      throw absent(ordinal, among: devices.map(\.name))
    }
    return devices[ordinal]
  }

  /// The error of a number that no GPU has.
  package static func absent(_ ordinal: Int, among names: [String]) -> CUDAError {
    let existing = names.enumerated().map { "cuda:\($0) (\($1))" }.joined(separator: ", ")
    return CUDAError(
      .noDevice,
      "there is no GPU cuda:\(ordinal): "
        + (names.isEmpty ? "the driver shows none" : "this machine has \(existing)"),
      remedy: names.isEmpty ? CUDAProblem.noDevice.remedy : nil)
  }

  /// A GPU that is not there, for choices that depend on what a GPU has.
  package init(
    describing name: String, capability: CUDACapability, multiprocessors: Int,
    sharedBytesPerBlock: Int, sharedBytesPerMultiprocessor: Int
  ) {
    (ordinal, handle, hasUnifiedAddressing, standsForOlder) = (0, 0, true, false)
    (self.name, self.capability, multiprocessorCount) = (name, capability, multiprocessors)
    (memoryByteCount, l2ByteCount, peakBytesPerSecond) = (0, 0, nil)
    self.sharedBytesPerBlock = sharedBytesPerBlock
    self.sharedBytesPerMultiprocessor = sharedBytesPerMultiprocessor
  }

  /// The GPU of that number, as a driver describes it; `olderCapability` is what it is to stand for.
  package init(
    _ ordinal: Int, _ driver: CUDADriver,
    olderCapability: String? = Environment.value("MGLU_CUDA_CAPABILITY")
  ) throws(CUDAError) {
    var device: Int32 = 0
    try driver.check(driver.functions.cuDeviceGet(&device, Int32(ordinal)), "cuDeviceGet")
    // CUdevice_attribute.
    func attribute(_ number: Int32) throws(CUDAError) -> Int {
      var value: Int32 = 0
      try driver.check(
        driver.functions.cuDeviceGetAttribute(&value, number, device), "cuDeviceGetAttribute")
      return Int(value)
    }
    var bytes = 0
    try driver.check(driver.functions.cuDeviceTotalMem(&bytes, device), "cuDeviceTotalMem")
    var name = [CChar](repeating: 0, count: 256)
    try driver.check(driver.functions.cuDeviceGetName(&name, 256, device), "cuDeviceGetName")
    self.name = String(
      decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    self.ordinal = ordinal
    handle = device
    memoryByteCount = bytes
    multiprocessorCount = try attribute(16)
    l2ByteCount = try attribute(38)
    hasUnifiedAddressing = try attribute(41) != 0
    let own = CUDACapability(try attribute(75), try attribute(76))
    if let text = olderCapability {
      guard let older = CUDACapability(text), older >= .oldest, older <= own else {
        throw CUDAError(
          .unsupportedDevice,
          "MGLU_CUDA_CAPABILITY is \(text): expected \(CUDACapability.oldest) to \(own), that of "
            + self.name)
      }
      (capability, standsForOlder) = (older, older < own)
    } else {
      (capability, standsForOlder) = (own, false)
    }
    sharedBytesPerMultiprocessor = try attribute(81)
    sharedBytesPerBlock = try attribute(97)
    // Kilohertz, and bits a transfer; two transfers a cycle. Newer drivers tell 0.
    let peak = try Double(attribute(36)) * 1000 * 2 * Double(attribute(37)) / 8
    peakBytesPerSecond = peak > 0 ? peak : nil
  }
}
