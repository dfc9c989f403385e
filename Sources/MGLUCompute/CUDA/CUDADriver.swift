import CMGLUKernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// NVIDIA's driver, libcuda, opened once at run time.
///
/// `MGLU_LIBCUDA` names another file. Every call goes through ``check(_:_:requesting:)``, so that
/// no result is lost.
package final class CUDADriver: Sendable {
  /// The CUDA version that the driver supports: 13000 is 13.0.
  package let version: Int
  /// The library's file.
  package let path: String
  let functions: cmglu_cuda_driver

  /// The driver, whether or not it has a GPU.
  package static let opened: Result<CUDADriver, CUDAError> = Result { () throws(CUDAError) in
    try CUDADriver()
  }

  /// The major version of CUDA that the driver supports, where there is a driver.
  static var major: Int? { (try? opened.get()).map { $0.version / 1000 } }

  /// The driver, ready to be called.
  package static func shared() throws(CUDAError) -> CUDADriver { try initialized.get() }

  private static let initialized: Result<CUDADriver, CUDAError> = Result {
    () throws(CUDAError) in
    let driver = try opened.get()
    try driver.check(driver.functions.cuInit(0), "cuInit")
    return driver
  }

  private convenience init() throws(CUDAError) {
    let library: SharedLibrary
    do throws(LibraryError) {
      library = try SharedLibrary(
        "NVIDIA's driver", anyOf: ["libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1"],
        override: "MGLU_LIBCUDA", having: "cuInit")
    } catch {
      throw CUDAError(.noDriver, error.message, remedy: CUDAProblem.noDriver.remedy)
    }
    try self.init(
      path: library.path, library: library.handle,
      lookup: { library, name in name.flatMap { dlsym(library, $0) } })
  }

  /// A driver whose functions `lookup` finds: for tests of what errors say.
  package init(
    path: String, library: UnsafeMutableRawPointer? = nil,
    lookup:
      @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<CChar>?)
      -> UnsafeMutableRawPointer?
  ) throws(CUDAError) {
    var functions = cmglu_cuda_driver()
    if let missing = cmglu_cuda_load(&functions, lookup, library) {
      throw CUDAError(
        .driverTooOld,
        "\(path) lacks \(String(cString: missing)): the driver is older than CUDA 12",
        remedy: CUDAProblem.driverTooOld.remedy)
    }
    self.functions = functions
    self.path = path
    var version: Int32 = 0
    guard functions.cuDriverGetVersion(&version) == 0 else {
      throw CUDAError(.noDriver, "\(path) tells no version", remedy: CUDAProblem.noDriver.remedy)
    }
    self.version = Int(version)
  }

  /// Throws what a `CUresult` other than 0 means.
  ///
  /// `bytes` is the size of an allocation: where memory is used up, the message tells what was
  /// asked for, what is free and what there is.
  func check(
    _ result: Int32, _ call: StaticString, requesting bytes: Int? = nil
  ) throws(CUDAError) {
    if _fastPath(result == 0) { return }
    throw error(result, "\(call)", requesting: bytes)
  }

  /// The error that a `CUresult` means.
  package func error(_ result: Int32, _ call: String, requesting bytes: Int? = nil) -> CUDAError {
    var (name, text): (UnsafePointer<CChar>?, UnsafePointer<CChar>?) = (nil, nil)
    _ = functions.cuGetErrorName(result, &name)
    _ = functions.cuGetErrorString(result, &text)
    var message = "\(call): \(name.map { String(cString: $0) } ?? "CUDA error \(result)")"
    if let text { message += " (\(String(cString: text)))" }
    let problem = CUDAProblem(result: result)
    if problem == .outOfMemory, let bytes {
      message += ": \(Self.gibibytes(bytes)) GiB were asked for"
      var (free, total) = (0, 0)
      if functions.cuMemGetInfo(&free, &total) == 0 {
        message += ", \(Self.gibibytes(free)) of \(Self.gibibytes(total)) GiB are free"
      }
    }
    if problem == .driverTooOld { message += "; this driver supports CUDA \(versionName)" }
    return CUDAError(problem, message, remedy: problem.remedy)
  }

  /// The version as people write it, such as 13.0.
  package var versionName: String { "\(version / 1000).\(version % 1000 / 10)" }

  /// Two decimals: an allocation that fails by little is seen to.
  private static func gibibytes(_ bytes: Int) -> String {
    let hundredths = Int((Double(bytes) / 0x1p30 * 100).rounded())
    let fraction = hundredths % 100
    return "\(hundredths / 100).\(fraction < 10 ? "0" : "")\(fraction)"
  }
}
