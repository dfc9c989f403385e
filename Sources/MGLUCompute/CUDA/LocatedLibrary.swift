/// A library of NVIDIA's, or a BLAS, as it was found on this machine or not, for reports.
package struct LocatedLibrary: Sendable {
  /// What it is called.
  package let name: String
  /// What this package uses it for.
  package let purpose: String
  /// Its file and version, or why it cannot be used.
  package let state: Result<Found, Missing>

  /// A library that can be opened.
  package struct Found: Sendable {
    /// The file.
    package let path: String
    /// The version, where the library tells it.
    package let version: String?
  }

  /// Why a library cannot be used, and what to do.
  package struct Missing: Error, Sendable {
    /// What was found and tried.
    package let message: String
    /// How to install it.
    package let remedy: String?
  }

  /// Looks for every library that this package may open. Nothing is kept from one call to the next
  /// but what the process has loaded.
  package static func all() -> [LocatedLibrary] {
    [blas(), driver(), compiler(), cuBLASLt(), nccl(), cuDNN()]
  }

  private static func blas() -> LocatedLibrary {
    let found = BLAS.find().map { Found(path: $0.path, version: nil) }
    return LocatedLibrary(
      name: "BLAS", purpose: "matrix products on the CPU",
      state: found.map { .success($0) }
        ?? .failure(
          Missing(
            message: "none was found: the built-in product is slower",
            remedy: "install OpenBLAS (apt-get install libopenblas0-pthread, brew install "
              + "openblas) or name a library in MGLU_BLAS")))
  }

  private static func driver() -> LocatedLibrary {
    LocatedLibrary(
      name: "NVIDIA driver", purpose: "computing on NVIDIA GPUs",
      state: CUDADriver.opened.map { driver in
        Found(path: driver.path, version: "CUDA \(driver.versionName)")
      }.mapError(Missing.init))
  }

  private static func compiler() -> LocatedLibrary {
    LocatedLibrary(
      name: "NVRTC", purpose: "compiling kernels for the GPU found",
      state: Result { () throws(CUDAError) in
        let compiler = try NVRTC.shared()
        return Found(
          path: compiler.path, version: "\(compiler.version.major).\(compiler.version.minor)")
      }.mapError(Missing.init))
  }

  private typealias VersionFunction = @convention(c) () -> Int

  private static func cuBLASLt() -> LocatedLibrary {
    LocatedLibrary(
      name: "cuBLASLt", purpose: "matrix products on the GPU, for training",
      state: Result { () throws(CUDAError) in
        let library = try CUBLASLt.shared()
        return Found(path: library.path, version: dotted(library.version))
      }.mapError(Missing.init))
  }

  private static func nccl() -> LocatedLibrary {
    locate(
      "NCCL", purpose: "sums over several GPUs", names: ["libnccl.so.2", "libnccl.so"],
      wheels: ["nvidia/nccl/lib"], symbol: "ncclGetVersion", package: "nvidia-nccl-cu13"
    ) { library in
      typealias Function = @convention(c) (UnsafeMutablePointer<Int32>?) -> Int32
      var version: Int32 = 0
      let status = library.function("ncclGetVersion", as: Function.self)?(&version)
      return status == 0 ? dotted(Int(version)) : nil
    }
  }

  private static func cuDNN() -> LocatedLibrary {
    locate(
      "cuDNN", purpose: "attention on the GPU", names: ["libcudnn.so.9", "libcudnn.so"],
      wheels: ["nvidia/cudnn/lib"], symbol: "cudnnGetVersion", package: "nvidia-cudnn-cu13"
    ) { $0.function("cudnnGetVersion", as: VersionFunction.self).map { dotted($0()) } }
  }

  /// Versions of these libraries are major 10000, minor 100 and patch 1 added up.
  private static func dotted(_ version: Int) -> String {
    "\(version / 10_000).\(version / 100 % 100).\(version % 100)"
  }

  private static func locate(
    _ name: String, purpose: String, names: [String], wheels: [String], symbol: String,
    package wheel: String, version: (SharedLibrary) -> String?
  ) -> LocatedLibrary {
    let state: Result<Found, Missing>
    do throws(LibraryError) {
      let library = try SharedLibrary(
        name, anyOf: LibrarySearch().candidates(names, wheels: wheels), having: symbol)
      state = .success(Found(path: library.path, version: version(library)))
    } catch {
      state = .failure(
        Missing(message: error.message, remedy: "pip install \(wheel), or the CUDA toolkit"))
    }
    return LocatedLibrary(name: name, purpose: purpose, state: state)
  }
}

extension LocatedLibrary.Missing {
  fileprivate init(_ error: CUDAError) {
    self.init(message: error.message, remedy: error.remedy)
  }
}
