// swift-tools-version: 6.2
import PackageDescription

let package = Package(
  name: "swift-mglu",
  platforms: [.macOS(.v15)],
  products: [
    .library(name: "MGLU", targets: ["MGLU"]),
    .library(name: "MGLUModel", targets: ["MGLUModel"]),
    .library(name: "MGLUTraining", targets: ["MGLUTraining"]),
    .executable(name: "mglu", targets: ["mglu"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
    .package(url: "https://github.com/apple/swift-numerics", from: "1.1.1"),
    .package(url: "https://github.com/swiftlang/swift-docc-plugin", from: "1.5.0"),
  ],
  targets: [
    .target(name: "CMGLUKernels", exclude: ["cuda"]),
    .target(name: "CMGLUTransformers", exclude: ["python"]),
    .target(name: "MGLUCompute", dependencies: ["CMGLUKernels"]),
    .target(name: "MGLU", dependencies: ["MGLUCompute"]),
    .target(
      name: "MGLUModel",
      dependencies: [
        "MGLU", "CMGLUTransformers",
        .product(name: "HeapModule", package: "swift-collections"),
      ]),
    .target(name: "MGLUTraining", dependencies: ["MGLUModel"]),
    .target(
      name: "MGLUDiagnostics",
      dependencies: [
        "MGLUTraining",
        .product(name: "RealModule", package: "swift-numerics"),
      ]),
    .executableTarget(
      name: "mglu",
      dependencies: [
        "MGLUDiagnostics", "MGLUTraining",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
    .testTarget(name: "MGLUComputeTests", dependencies: ["MGLUCompute", "MGLUDiagnostics"]),
    .testTarget(name: "MGLUTests", dependencies: ["MGLU", "MGLUDiagnostics"]),
    .testTarget(name: "MGLUModelTests", dependencies: ["MGLUModel", "MGLUDiagnostics"]),
    .testTarget(name: "MGLUTrainingTests", dependencies: ["MGLUTraining", "MGLUDiagnostics"]),
    .testTarget(name: "MGLUDiagnosticsTests", dependencies: ["MGLUDiagnostics"]),
    .testTarget(name: "CommandTests", dependencies: ["mglu"]),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .c2x
)
