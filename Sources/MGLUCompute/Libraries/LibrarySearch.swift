#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Where NVIDIA's libraries lie on machines as they are: what the system's loader finds, toolkits,
/// conda, and the wheels that pip installs beside Python.
package struct LibrarySearch: Sendable {
  private let environment: @Sendable (String) -> String?
  private let root: String

  /// A search under `root` (a test's own tree, or nothing for the machine's). Relative paths of the
  /// environment lead to where the process happens to run, and count for nothing.
  package init(
    root: String = "", environment: @escaping @Sendable (String) -> String? = Environment.value
  ) {
    self.root = root
    self.environment = { name in
      environment(name).flatMap { $0.hasPrefix("/") || name == "PATH" ? $0 : nil }
    }
  }

  /// The candidates for a library of any of `names`, best first: the names, which the system looks
  /// for, then files that are there.
  ///
  /// `wheels` are the folders below site-packages in which wheels put the library.
  package func candidates(_ names: [String], wheels: [String]) -> [String] {
    let folders =
      toolkitFolders
      + pythonFolders.flatMap { packages in
        wheels.map { packages + "/" + $0 }
      }
    var seen: Set<String> = []
    let files = folders.flatMap { folder in
      names.flatMap { Self.matches(of: folder + "/" + $0) }
    }
    return names + files.filter { seen.insert($0).inserted }
  }

  /// The candidates for a library of CUDA's, called `name` and its major version. The driver's own is
  /// preferred, wherever it lies, because a driver serves its own version and earlier ones.
  package func candidates(
    _ name: String, driverMajor: Int?, wheels: [String]
  ) -> [String] {
    let versions = driverMajor == 12 ? [".12", ".13", ""] : [".13", ".12", ""]
    return versions.flatMap { candidates([name + $0], wheels: wheels) }
  }

  /// Folders of CUDA toolkits, patterns included.
  private var toolkitFolders: [String] {
    let named = ["CUDA_HOME", "CUDA_PATH"].compactMap(environment).map { $0 + "/lib64" }
    let conda = environment("CONDA_PREFIX").map { [$0 + "/lib", $0 + "/targets/*/lib"] } ?? []
    return named + conda
      + [
        "/usr/local/cuda/lib64", "/usr/local/cuda-*/lib64", "/usr/local/cuda-*/targets/*/lib",
        "/usr/lib/*-linux-gnu", "/usr/lib/cuda/lib64", "/opt/cuda/lib64", "/usr/lib64",
        "/usr/lib/wsl/lib", "/opt/conda/lib",
      ].map { root + $0 }
  }

  /// Folders of Python packages, patterns included; no Python is started to find them.
  private var pythonFolders: [String] {
    var prefixes = [environment("VIRTUAL_ENV"), environment("CONDA_PREFIX")].compactMap { $0 }
    for folder in (environment("PATH") ?? "").split(separator: ":") where folder.hasPrefix("/") {
      let interpreter = "\(folder)/python3"
      guard Folder.kind(of: interpreter) == .file else { continue }
      prefixes.append(Folder.parent(of: String(folder)))
      // A version manager's shim or a link leads to where the packages are.
      if let target = realpath(interpreter, nil) {
        prefixes.append(Folder.parent(of: Folder.parent(of: String(cString: target))))
        free(target)
      }
    }
    if let home = environment("HOME") {
      prefixes += [home + "/.local", home + "/.pyenv/versions/*"]
    }
    prefixes += ["/opt/*/.venv", "/opt/venv", "/usr/local", "/usr"].map { root + $0 }
    var seen: Set<String> = []
    return prefixes.filter { seen.insert($0).inserted }.flatMap { prefix in
      ["site-packages", "dist-packages"].map { "\(prefix)/lib/python3*/\($0)" }
    }
  }

  /// The files that match a pattern, the highest names first: of several toolkits the newest.
  static func matches(of pattern: String) -> [String] {
    var found = glob_t()
    defer { globfree(&found) }
    guard glob(pattern, 0, nil, &found) == 0 else { return [] }
    return (0..<Int(found.gl_pathc)).compactMap { index in
      found.gl_pathv[index].map { String(cString: $0) }
    }.reversed()
  }
}
