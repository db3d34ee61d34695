// swift-tools-version: 6.3
import PackageDescription

// AVX2, FMA and F16C: without them every half-precision scale and every fused product is a function call.
// qtool refuses to start on a machine that lacks them (see Sources/CMachine).
#if arch(x86_64)
  let vectorFlags = ["-march=x86-64-v3"]
#else
  let vectorFlags: [String] = []
#endif

let swiftSettings: [SwiftSetting] = [
  .unsafeFlags(vectorFlags.flatMap { ["-Xcc", $0] })
]

// macOS has Accelerate and CryptoKit.
#if os(Linux)
  let blas: [Target.Dependency] = ["COpenBLAS"]
  let crypto: [Target.Dependency] = ["COpenSSL"]
#else
  let blas: [Target.Dependency] = []
  let crypto: [Target.Dependency] = []
#endif

let libraries = [
  "Files", "Tensors", "Blocks", "GGUF", "Checkpoint", "Tokenizers", "Transformer", "Imatrix", "Perplexity", "Quantize",
  "Fit", "MLX", "Inspection", "Plan", "Report", "Hub",
]

func library(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: swiftSettings)
}

func tests(
  of module: String, named name: String? = nil, _ dependencies: [Target.Dependency] = [], hasFixtures: Bool = true
) -> Target {
  .testTarget(
    name: "\(name ?? module)Tests", dependencies: [.byName(name: module), "TestSupport"] + dependencies,
    resources: hasFixtures ? [.copy("Fixtures")] : [], swiftSettings: swiftSettings)
}

let collections: Target.Dependency = .product(name: "OrderedCollections", package: "swift-collections")
let heap: Target.Dependency = .product(name: "HeapModule", package: "swift-collections")
let yams: Target.Dependency = .product(name: "Yams", package: "Yams")

let package = Package(
  name: "qtool",
  platforms: [.macOS(.v26)],
  products: [.executable(name: "qtool", targets: ["qtool"])]
    + libraries.map { .library(name: $0, targets: [$0]) },
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
    .package(url: "https://github.com/hummingbird-project/swift-mustache", from: "2.1.1"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
  ],
  targets: [
    .target(name: "CVectors"),
    .target(name: "CBlocks", dependencies: ["CVectors"]),
    // Scripts/release names the commit that it builds.
    .target(
      name: "CMachine",
      cSettings: [.define("QTOOL_BUILD", to: "\"\(Context.environment["QTOOL_BUILD"] ?? "development")\"")]),
    .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"]), .brew(["zstd"])]),
    .systemLibrary(name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
    .systemLibrary(name: "COpenSSL", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),

    // Loads libcurl when it is needed; only the headers are needed to build.
    .target(name: "CCurl", linkerSettings: [.linkedLibrary("dl", .when(platforms: [.linux]))]),

    library("Files", ["CZstd"] + crypto),
    library("Tensors", ["CVectors"] + blas),
    library("Blocks", ["CBlocks", "Tensors"]),
    library("GGUF", ["Blocks", "Tensors", "Files", collections]),
    library("Tokenizers", ["GGUF", heap]),
    library("Checkpoint", ["CVectors", "GGUF", "Blocks", "Tensors", "Files", "Tokenizers", collections, yams]),
    library("Transformer", ["GGUF", "Tensors", "Files", "CVectors", "CZstd"]),
    library("Imatrix", ["Transformer", "GGUF", "Tensors", "Files"]),
    library("Perplexity", ["Transformer", "GGUF", "Tensors", "Files", "CVectors", heap]),
    library("Quantize", ["GGUF", "Blocks", "Tensors", "Files", collections, .product(name: "Yams", package: "Yams")]),
    library(
      "Fit",
      ["Quantize", "Imatrix", "Perplexity", "Transformer", "Tokenizers", "Blocks", "GGUF", "Tensors", "Files"]),
    library("MLX", ["Checkpoint", "Quantize", "Blocks", "GGUF", "Tensors", "Files"]),
    library("Hub", ["CCurl", "Files"]),
    library("Inspection", ["Blocks", "GGUF", "Tensors"]),
    library("Plan", ["Checkpoint", "Quantize", "GGUF", "Tensors", "Files"]),
    library("Report", ["Perplexity", "GGUF", "Tensors", .product(name: "Mustache", package: "swift-mustache")]),
    .executableTarget(
      name: "qtool",
      dependencies: libraries.map { .byName(name: $0) } + [
        "CMachine", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: swiftSettings),
    .executableTarget(
      name: "qtool-bench",
      dependencies: [
        "Blocks", "Checkpoint", "Files", "GGUF", "Hub", "Imatrix", "Tensors",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], path: "Benchmarks/qtool-bench", swiftSettings: swiftSettings),

    .executableTarget(
      name: "feedback-factors",
      dependencies: ["Blocks", "Checkpoint", "Fit", "GGUF", "Imatrix", "Tensors", "Tokenizers", "Transformer"],
      path: "Benchmarks/feedback-factors", swiftSettings: swiftSettings),

    .executableTarget(
      name: "quantize-example", dependencies: ["Checkpoint", "Fit", "GGUF", "Imatrix", "Quantize"],
      path: "Examples/library",
      swiftSettings: swiftSettings),

    .target(
      name: "TestSupport", dependencies: ["Blocks", "GGUF", "Tensors", "Files"], path: "Tests/TestSupport",
      swiftSettings: swiftSettings),
    tests(of: "Files", ["Tensors"]),
    tests(of: "Tensors"),
    tests(of: "Blocks", ["Tensors"]),
    tests(of: "GGUF", ["Files", "Tensors", "Blocks"]),
    tests(of: "Tokenizers", ["GGUF", "Checkpoint", "Tensors"]),
    tests(of: "Checkpoint", ["Files", "GGUF", "Tensors"]),
    tests(of: "Transformer", ["Checkpoint", "Tokenizers", "GGUF", "Tensors"]),
    tests(of: "Transformer", named: "Family", ["Checkpoint", "Files", "GGUF", "MLX", "Plan", "Quantize", "Tensors"]),
    tests(of: "Imatrix", ["Files", "CZstd", "Transformer", "Checkpoint", "Tokenizers", "GGUF", "Tensors"]),
    tests(of: "Perplexity", ["Files", "Transformer", "Checkpoint", "Tokenizers", "GGUF", "Tensors"]),
    tests(of: "Report", ["Perplexity", "GGUF", "Tensors"], hasFixtures: false),
    tests(of: "Quantize", ["Files", "Checkpoint", "GGUF", "Blocks", "Tensors"]),
    tests(
      of: "Fit",
      ["Quantize", "Checkpoint", "Perplexity", "Tokenizers", "Transformer", "Blocks", "GGUF", "Tensors"]),
    tests(of: "MLX", ["Checkpoint", "Quantize", "Blocks", "GGUF", "Tensors", "Files"], hasFixtures: false),
    tests(of: "Inspection", ["GGUF", "Tensors"]),
    tests(of: "Plan", ["Checkpoint", "Quantize", "GGUF", "Tensors"]),
    tests(of: "Hub", ["Files", "Checkpoint", "GGUF"], hasFixtures: false),
    tests(of: "qtool", named: "Command", ["Blocks", "GGUF", "Tensors", "Files"]),
  ]
)

// Links with libFuzzer, which brings its own main: Scripts/fuzz alone asks for it.
if Context.environment["QTOOL_FUZZ"] != nil {
  package.targets.append(
    .executableTarget(
      name: "qtool-fuzz", dependencies: libraries.map { .byName(name: $0) }, path: "Tests/Fuzz",
      swiftSettings: swiftSettings))
}
