import CMGLUKernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// NVIDIA's library that moves memory between GPUs, found on this machine. `MGLU_NCCL` names another
/// file.
package final class NCCL: Sendable {
  /// Its version: 22803 is 2.28.3.
  package let version: Int
  /// The library's file.
  package let path: String
  let functions: cmglu_nccl

  static let wheels = ["nvidia/nccl/lib"]

  static let remedy =
    "install it (pip install nvidia-nccl-cu13, apt-get install libnccl2), or name the library in "
    + "MGLU_NCCL"

  /// The library of this process.
  package static func shared() throws(CommunicationError) -> NCCL { try found.get() }

  private static let found: Result<NCCL, CommunicationError> = Result {
    () throws(CommunicationError) in try NCCL()
  }

  private convenience init() throws(CommunicationError) {
    // Only NCCL's sends and receives are used here; buffers of its multicasts would be for nothing.
    setenv("NCCL_NVLS_ENABLE", "0", 0)
    let library: SharedLibrary
    do throws(LibraryError) {
      library = try SharedLibrary(
        "NCCL", anyOf: LibrarySearch().candidates(["libnccl.so.2"], wheels: Self.wheels),
        override: "MGLU_NCCL", having: "ncclCommInitRankConfig")
    } catch {
      throw CommunicationError(.noLibrary, error.message, remedy: Self.remedy)
    }
    try self.init(
      path: library.path, library: library.handle,
      lookup: { library, name in name.flatMap { dlsym(library, $0) } })
  }

  /// A library whose functions `lookup` finds: for tests of what is passed to it.
  package init(
    path: String, library: UnsafeMutableRawPointer? = nil,
    lookup:
      @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<CChar>?)
      -> UnsafeMutableRawPointer?
  ) throws(CommunicationError) {
    var functions = cmglu_nccl()
    if let missing = cmglu_nccl_load(&functions, lookup, library) {
      throw CommunicationError(
        .noLibrary, "\(path) lacks \(String(cString: missing))", remedy: Self.remedy)
    }
    var version: Int32 = 0
    _ = functions.ncclGetVersion(&version)
    guard version >= 21800 else {
      throw CommunicationError(
        .noLibrary, "\(path) is version \(version): expected 21800 (2.18) or newer",
        remedy: Self.remedy)
    }
    self.version = Int(version)
    self.path = path
    self.functions = functions
  }

  /// The error that a result means.
  func error(_ result: Int32, _ call: String) -> CommunicationError {
    let name = functions.ncclGetErrorString(result).map { String(cString: $0) } ?? "\(result)"
    let last = functions.ncclGetLastError(nil).map { String(cString: $0) } ?? ""
    return CommunicationError(
      .transport, "\(call): NCCL reports \(name)\(last.isEmpty ? "" : ": \(last)")",
      remedy: "NCCL_DEBUG=INFO tells more")
  }
}
