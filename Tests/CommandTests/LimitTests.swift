import Foundation
import TestSupport
import Testing

/// Limits of memory, files and threads, and weights that are not finite.
@Suite struct LimitTests {
  private let qtool = Binary(beside: Bundle.module)
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  @Test func sameBytesForAnyNumberOfThreadsAndOnEveryRun() throws {
    var files: [Data] = []
    try String(repeating: "Rain fell on the harbour, and nobody minded. ", count: 200)
      .write(toFile: directory.path("text.txt"), atomically: true, encoding: .utf8)
    for (index, threads) in ["1", "5", "5"].enumerated() {
      let output = directory.path("\(index).gguf")
      let result = try qtool.run([
        "quantize", "--no-feedback", Repository.demoModel, "--type", "IQ2_XS", "--calibration",
        directory.path("text.txt"), "-o", output,
        "--threads", threads, "--quiet",
      ])
      #expect(result.status == 0, "\(result.error)")
      files.append(try Data(contentsOf: URL(filePath: output)))
    }
    #expect(files.allSatisfy { $0 == files[0] })
  }

  /// A limit on the size of files ends a run like a full disk: with a message, and the finished work is kept.
  @Test func sizeOfFiles() throws {
    let output = directory.path("out.gguf")
    let arguments = ["quantize", "--no-feedback", Repository.demoModel, "--type", "Q4_0", "-o", output, "--quiet"]
    let command = "ulimit -f 100; exec '\(qtool.url.path)' \(arguments.map { "'\($0)'" }.joined(separator: " "))"
    let limited = try Binary(url: URL(filePath: "/bin/sh")).run(["-c", command])
    #expect(limited.status == 74 && limited.error.contains("\(output): at byte "), "\(limited.error)")
    #expect(!directory.contents.contains("out.gguf"))
    #expect(try qtool.run(arguments).status == 0)
    #expect(directory.contents == ["out.gguf"])
  }

  /// An output name of something other than a file is refused before the work, even with `--force`.
  @Test func namesOfDevicesAndFolders() throws {
    let pipe = directory.path("pipe")
    try #require(mkfifo(pipe, 0o600) == 0)
    for (output, word) in [(pipe, "pipe"), (directory.url.path, "directory"), (directory.url.path + "/", "directory")] {
      let result = try qtool.run([
        "quantize", "--no-feedback", Repository.demoModel, "--type", "Q4_0", "-o", output, "--force",
      ])
      #expect(result.status == 73 && result.error.contains(word) && !result.error.contains("writing"))
    }
    let result = try qtool.run(["inspect", pipe])
    #expect(result.status == 66 && result.error.contains("it is a pipe, a device or a socket"), "\(result.error)")
    #expect(directory.contents == ["pipe"])
  }

  /// The temporary name of an output, or its journal, may be an input's name: browsers name unfinished downloads `.part`.
  @Test(arguments: ["out.gguf.part", "out.gguf.journal", "out.gguf.snapshot-0"])
  func inputsBesideTheOutput(name: String) throws {
    let input = directory.path(name)
    #expect(try qtool.run(["convert", Repository.demoModel, "-o", input, "--quiet"]).status == 0)
    let before = try Data(contentsOf: URL(filePath: input))
    let result = try qtool.run([
      "quantize", "--no-feedback", input, "--type", "Q4_0", "-o", directory.path("out.gguf"), "--force",
    ])
    #expect(result.status == 64 && result.error.contains("\(input): is also an input"), "\(result.error)")
    #expect(try Data(contentsOf: URL(filePath: input)) == before)
    #expect(directory.contents == [name])
  }

  /// A GGUF can be written into its model's directory repeatedly.
  @Test func outputsWithinAModelDirectory() throws {
    let model = try ReferenceModel.copy("llama2")
    let output = model.path + "/model.gguf"
    for arguments in [[], ["--force"]] {
      let result = try qtool.run(["convert", model.path, "-o", output, "--quiet"] + arguments)
      #expect(result.status == 0, "\(result.error)")
    }
    let result = try qtool.run(["convert", model.path, "-o", model.path + "/tokenizer.json", "--force"])
    #expect(result.status == 64 && result.error.contains("is also an input"), "\(result.error)")
  }

  #if os(Linux)
    /// With any memory limit, a process works or prints the memory that it needs; it never dies without a message.
    @Test(arguments: [300_000, 500_000, 700_000, 1_200_000]) func addressSpace(kilobytes: Int) throws {
      let output = directory.path("out.gguf")
      let command =
        "ulimit -v \(kilobytes); exec '\(qtool.url.path)' imatrix '\(Repository.demoModel)' --chunks 1 --threads 2 "
        + " -o '\(output)' --quiet"
      let result = try Binary(url: URL(filePath: "/bin/sh")).run(["-c", command])
      #expect(result.status == 0 || result.status == 69, "\(result.status): \(result.error)")
      #expect(result.status == 0 || result.error.contains("ulimit -v"))
      #expect(directory.contents == (result.status == 0 ? ["out.gguf"] : []))
    }
  #endif

  @Test func nonFiniteWeightsAreNamedOrReplaced() throws {
    let model = try DemoCopy()
    let url = model.directory.url.appending(path: "model.safetensors")
    var data = try Data(contentsOf: url)
    // A half-precision NaN in the middle of the first tensor's data.
    let offset = data.count / 3 & ~1
    data[offset] = 0x01
    data[offset + 1] = 0x7E
    try data.write(to: url)
    let refused = try qtool.run([
      "quantize", "--no-feedback", model.path, "--type", "Q4_K_M", "-o", directory.path("a.gguf"), "--quiet",
    ])
    #expect(refused.status == 65 && refused.error.contains("--replace-nonfinite"), "\(refused.error)")
    #expect(refused.error.contains(/tensor \S+: the weight in row \d+, column \d+ is NaN/), "\(refused.error)")
    #expect(directory.contents.isEmpty, "\(directory.contents)")
    let written = try qtool.run([
      "quantize", "--no-feedback", model.path, "--type", "Q4_K_M", "-o", directory.path("a.gguf"),
      "--replace-nonfinite", "0",
    ])
    #expect(written.status == 0 && written.error.contains("1 weights that were NaN or infinite"), "\(written.error)")
    #expect(try qtool.run(["verify", directory.path("a.gguf"), "--quiet"]).status == 0)
  }

  @Test func columnsWithoutImportanceAreCountedOncePerTensor() throws {
    // An importance matrix of the older form: a tensor of every layer, of which one has three zeros.
    var bytes: [UInt8] = []
    func append(_ value: UInt32) { for shift in 0..<4 { bytes.append(UInt8(value >> (8 * UInt32(shift)) & 255)) } }
    let names = (0..<4).map { "blk.\($0).ffn_up.weight" }
    append(UInt32(names.count))
    for (index, name) in names.enumerated() {
      append(UInt32(name.utf8.count))
      bytes += Array(name.utf8)
      append(1)
      append(256)
      for column in 0..<256 { append((index == 0 && column < 3 ? 0 : Float(1)).bitPattern) }
    }
    let matrix = directory.path("zeros.dat")
    try Data(bytes).write(to: URL(filePath: matrix))
    let result = try qtool.run([
      "quantize", "--no-feedback", Repository.demoModel, "--type", "IQ3_S", "--pure", "--imatrix", matrix, "-o",
      directory.path("a.gguf"),
      "--threads", "2",
    ])
    #expect(result.status == 0, "\(result.error)")
    let warnings = result.error.split(separator: "\n").filter { $0.contains("columns without importance") }
    #expect(warnings.count == 1, "\(result.error)")
    #expect(warnings.first?.contains("blk.0.ffn_up.weight: 3 columns") == true, "\(result.error)")
  }

  /// An 8-bit NaN, which is found only when it is decoded, is treated like one of 16 bits.
  @Test(arguments: ["convert", "quantize"]) func nonFiniteFloat8(_ command: String) throws {
    let model = try ReferenceModel.copy("llama-fp8-whole")
    try model.poison("model.layers.0.mlp.up_proj.weight", nan: [0x7F])
    let arguments =
      [command, model.path, "-o", directory.path("a.gguf")] + (command == "quantize" ? ["--type", "Q8_0"] : [])
    let refused = try qtool.run(arguments)
    #expect(refused.status == 65 && refused.error.contains("ffn_up.weight"), "\(refused.error)")
    #expect(refused.error.contains("row 0, column 0") && refused.error.contains("--replace-nonfinite"))
    #expect(directory.contents.isEmpty)
    let written = try qtool.run(arguments + ["--replace-nonfinite", "0"])
    #expect(written.status == 0 && written.error.contains("1 weights that were NaN or infinite"), "\(written.error)")
    #expect(try qtool.run(["verify", directory.path("a.gguf"), "--quiet"]).status == 0)
  }

  #if os(Linux)
    /// A kernel file with a size of 4096 bytes that can't be read.
    static let unreadable = "/sys/class/net/lo/speed"

    /// Every command names a file whose read fails, with the offset.
    @Test(
      .enabled(if: FileManager.default.fileExists(atPath: unreadable), "needs a file that fails"),
      arguments: [
        ["inspect", unreadable], ["verify", unreadable], ["perplexity", Repository.demoModel, "--text", unreadable],
        ["imatrix", "--merge", unreadable, "-o", "OUT"],
        ["imatrix", Repository.demoModel, "--calibration", unreadable, "-o", "OUT"],
        ["quantize", "--no-feedback", Repository.demoModel, "--type", "Q4_K_M", "--imatrix", unreadable, "-o", "OUT"],
        ["quantize", "--no-feedback", unreadable, "--type", "Q4_K_M", "-o", "OUT"],
        ["drift", unreadable, Repository.demoModel, "--text", Repository.demoModel],
      ]) func failingRead(_ arguments: [String]) throws
    {
      let result = try qtool.run(arguments.map { $0 == "OUT" ? directory.path("out.gguf") : $0 })
      #expect(
        result.status == 74 && result.error.hasPrefix("qtool: \(Self.unreadable): at byte 0: "), "\(result.error)")
      #expect(directory.contents.isEmpty)
    }
  #endif
}
