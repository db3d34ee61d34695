import Foundation
import TestSupport
import Testing

/// quantize --delete-shards.
@Suite struct DeletedShardsTests {
  private let qtool = Binary(beside: .module)
  private let directory: TemporaryDirectory
  private let demo: DemoCopy
  private let text: String
  private static let shards = 3

  init() throws {
    directory = try TemporaryDirectory()
    demo = try ReferenceModel.copy("llama2")
    text = directory.path("text.txt")
    try (0..<80).map { "Line \($0) says what line \($0 * 7 % 80) left out.\n" }.joined()
      .write(toFile: text, atomically: true, encoding: .utf8)
    try divide(demo)
  }

  /// Writes the model's tensors as shards, layers in order, with an index.
  private func divide(_ demo: DemoCopy) throws {
    let content = try SafetensorsContent(path: demo.directory.path("model.safetensors"))
    var parts = (0..<Self.shards).map { _ in SafetensorsContent() }
    var map: [String: String] = [:]
    for name in content.names {
      let layer = name.firstMatch(of: /layers\.(\d+)\./).flatMap { Int($0.1) }
      let index = min(Self.shards - 1, layer ?? (name.contains("embed") ? 0 : Self.shards - 1))
      parts[index][name] = content[name]
      map[name] = Self.shard(index)
    }
    for (index, part) in parts.enumerated() { try part.write(to: demo.directory.path(Self.shard(index))) }
    try JSONSerialization.data(withJSONObject: ["weight_map": map])
      .write(to: demo.directory.url.appending(path: "model.safetensors.index.json"))
    try FileManager.default.removeItem(atPath: demo.directory.path("model.safetensors"))
  }

  private static func shard(_ index: Int) -> String { "model-0000\(index + 1)-of-0000\(shards).safetensors" }

  private func data(_ name: String) throws -> Data { try Data(contentsOf: directory.url.appending(path: name)) }
  private var shards: [String] { demo.directory.contents.filter { $0.hasSuffix(".safetensors") } }
  private var records: [String] { demo.directory.contents.filter { $0.hasSuffix(".removed") } }

  private func quantize(_ options: [String], _ output: String, deletes: Bool = true) -> [String] {
    ["quantize", demo.path] + options + (deletes ? ["--delete-shards", "--yes-delete-source"] : [])
      + ["-o", directory.path(output), "--quiet"]
  }

  private static let options: [[String]] = [
    ["--no-feedback", "--type", "Q8_0"], ["--calibration", "TEXT", "--effort", "1", "--type", "Q4_0"],
    ["--no-feedback", "--type", "Q4_0", "--type", "F16"],
    ["--calibration", "TEXT", "--effort", "1", "--type", "Q4_0", "--type", "Q8_0", "--type", "F16"],
  ]

  private func filled(_ options: [String]) -> [String] { options.map { $0 == "TEXT" ? text : $0 } }
  private func mixes(_ options: [String]) -> [String] {
    options.indices.dropFirst().filter { options[$0 - 1] == "--type" }.map { options[$0] }
  }

  @Test(arguments: options) func filesEqualThoseThatKeepTheModel(_ options: [String]) throws {
    let kept = try qtool.run(quantize(filled(options), "kept-{mix}.gguf", deletes: false))
    #expect(kept.status == 0 && shards.count == Self.shards, "\(kept.error)")
    let result = try qtool.run(quantize(filled(options), "out-{mix}.gguf"))
    #expect(result.status == 0, "\(result.error)")
    for mix in mixes(options) { #expect(try data("out-\(mix).gguf") == data("kept-\(mix).gguf")) }
    #expect(shards.isEmpty && records.isEmpty && demo.directory.contents.contains("config.json"))
    #expect(!directory.contents.contains { $0.hasSuffix(".journal") || $0.hasSuffix(".part") })
  }

  /// Runs are killed at several moments, each after the last; the last one completes all files.
  @Test(arguments: options) func killedRunsGoOn(_ options: [String]) throws {
    let options = filled(options)
    let began = ContinuousClock.now
    let kept = try qtool.run(quantize(options, "kept-{mix}.gguf", deletes: false))
    #expect(kept.status == 0, "\(kept.error)")
    let length = Double((ContinuousClock.now - began) / .seconds(1))
    for part in 1...8 {
      let result = try qtool.run(
        quantize(options, "out-{mix}.gguf"), signal: part % 2 == 0 ? SIGINT : SIGKILL,
        after: (0.3 + 0.1 * Double(part)) * length)
      if result.status == 0 { break }
      // Shards are there or recorded; other runs do not take the rest for the model.
      if let record = records.first(where: { !shards.contains(String($0.dropLast(8))) }) {
        let other = try qtool.run(["inspect", demo.path])
        #expect(other.status == 66 && other.error.contains("\(record.dropLast(8)): was removed"), "\(other.error)")
      }
      if shards.isEmpty && records.isEmpty { break }
    }
    if !shards.isEmpty || !records.isEmpty {
      let last = try qtool.run(quantize(options, "out-{mix}.gguf"))
      #expect(last.status == 0, "\(last.error)")
    }
    for mix in mixes(options) { #expect(try data("out-\(mix).gguf") == data("kept-\(mix).gguf")) }
    #expect(shards.isEmpty && records.isEmpty)
  }

  /// A shard that can't be read ends the run. What was written stays, since it is the only copy.
  @Test func failuresKeepWhatIsWritten() throws {
    let last = Self.shard(Self.shards - 1)
    let whole = try Data(contentsOf: demo.directory.url.appending(path: last))
    try demo.edit(last) { content in
      let name = try #require(content.names.first { content[$0]?.shape.count == 2 })
      let tensor = try #require(content[name])
      var values = tensor.values
      values[0] = .nan
      content[name] = SafetensorsContent.Tensor(values, dtype: tensor.dtype, shape: tensor.shape)
    }
    let options = ["--no-feedback", "--type", "Q8_0"]
    let failed = try qtool.run(quantize(options, "out.gguf"))
    #expect(failed.status == 65 && failed.error.contains("is NaN or infinite"), "\(failed.error)")
    #expect(directory.contents.filter { $0.hasPrefix("out") } == ["out.gguf.journal", "out.gguf.part"])
    #expect(shards == [last] && records.count == Self.shards - 1)
    let restarted = try qtool.run(quantize(options + ["--restart"], "out.gguf"))
    #expect(restarted.status == 64 && restarted.error.contains("is the only copy"), "\(restarted.error)")
    // Other options would need the removed shards.
    let changed = try qtool.run(quantize(["--no-feedback", "--type", "Q4_0"], "out.gguf"))
    #expect(changed.status == 65 && changed.error.contains("an unfinished run had another recipe"), "\(changed.error)")
    #expect(changed.error.contains("hint: repeat the unfinished run's command") && !changed.error.contains("--restart"))
    #expect(directory.contents.filter { $0.hasPrefix("out") } == ["out.gguf.journal", "out.gguf.part"])
    // Without the written part, nothing can be made of the rest.
    let other = try qtool.run(quantize(options, "other.gguf"))
    #expect(other.status == 66 && other.error.contains("was removed by an earlier run"), "\(other.error)")
    #expect(!directory.contents.contains("other.gguf"))
    try whole.write(to: demo.directory.url.appending(path: last))
    let result = try qtool.run(quantize(options, "out.gguf"))
    #expect(result.status == 0 && shards.isEmpty && records.isEmpty, "\(result.error)")
    #expect(directory.contents == ["out.gguf", "text.txt"])
  }

  @Test func nothingIsRemovedWithoutAnAnswer() throws {
    let arguments = [
      "quantize", demo.path, "--no-feedback", "--type", "Q8_0", "-o", directory.path("a.gguf"), "--quiet",
    ]
    let first = try qtool.run(arguments + ["--delete-shards"])
    #expect(first.status == 64 && first.error.contains("\(Self.shard(0)) may be the last copy"), "\(first.error)")
    // As `hf download --local-dir` leaves them.
    let records = demo.path + "/.cache/huggingface/download"
    try FileManager.default.createDirectory(atPath: records, withIntermediateDirectories: true)
    for name in shards {
      try
        "\(String(repeating: "a", count: 40))\n\(String(repeating: "b", count: 64))\n\(Date().timeIntervalSince1970)\n"
        .write(toFile: "\(records)/\(name).metadata", atomically: true, encoding: .utf8)
    }
    let second = try qtool.run(arguments + ["--delete-shards"])
    #expect(second.status == 64 && second.error.contains("there is no terminal"), "\(second.error)")
    let third = try qtool.run(arguments + ["--yes-delete-source"])
    #expect(third.status == 64, "\(third.error)")
    #expect(shards.count == Self.shards && directory.contents == ["text.txt"])
  }

  /// Links, packed files and other outputs than a GGUF of the whole directory are refused.
  @Test func sourcesThatCantBeRemovedAreRefused() throws {
    let elsewhere = directory.path("elsewhere.safetensors")
    let first = demo.directory.path(Self.shard(0))
    try FileManager.default.moveItem(atPath: first, toPath: elsewhere)
    try FileManager.default.createSymbolicLink(atPath: first, withDestinationPath: elsewhere)
    let result = try qtool.run(quantize(["--no-feedback", "--type", "Q8_0"], "out.gguf"))
    #expect(result.status == 64 && result.error.contains("is a link"), "\(result.error)")
    let part = try qtool.run(quantize(["--no-feedback", "--type", "Q8_0", "--prune-layers", "1"], "out.gguf"))
    #expect(part.status == 64 && part.error.contains("is not a directory of safetensors"), "\(part.error)")
    let hub = try qtool.run(
      ["quantize", "hf:team/model", "--type", "Q8_0", "--delete-shards", "-o", directory.path("out.gguf")])
    #expect(hub.status == 64 && hub.error.contains("hf:team/model is a model of the hub"), "\(hub.error)")
    #expect(directory.contents == ["elsewhere.safetensors", "text.txt"])
  }

  #if os(Linux)
    /// Model and output do not fit on the disk together.
    @Test(.enabled(if: geteuid() == 0 && SmallDisk.canMount, "needs to mount a file system"))
    func diskHoldsLessThanModelAndOutput() throws {
      let disk = try SmallDisk(megabytes: 11)
      let model = try DemoCopy()
      try divide(model)
      try FileManager.default.copyItem(atPath: model.path, toPath: disk.path("model"))
      // Models are named after their folder.
      let folder = directory.path("model")
      try FileManager.default.moveItem(atPath: model.path, toPath: folder)
      let kept = try qtool.run(
        ["quantize", folder, "--no-feedback", "--type", "Q8_0", "-o", directory.path("kept.gguf"), "--quiet"])
      #expect(kept.status == 0, "\(kept.error)")
      let arguments = [
        "quantize", disk.path("model"), "--no-feedback", "--type", "Q8_0", "-o", disk.path("out.gguf"), "--quiet",
      ]
      let refused = try qtool.run(arguments)
      #expect(refused.status == 73 && refused.error.contains("the disk lacks"), "\(refused.error)")
      let result = try qtool.run(arguments + ["--delete-shards", "--yes-delete-source"])
      #expect(result.status == 0, "\(result.error)")
      #expect(try Data(contentsOf: URL(filePath: disk.path("out.gguf"))) == data("kept.gguf"))
    }
  #endif

  /// While another process reads the model, nothing is removed.
  @Test func modelsInUseAreRefused() throws {
    let descriptor = open(demo.path, O_RDONLY)
    defer { close(descriptor) }
    #expect(flock(descriptor, LOCK_SH) == 0)
    let result = try qtool.run(quantize(["--no-feedback", "--type", "Q8_0"], "out.gguf"))
    #expect(result.status == 69 && result.error.contains("another run reads the model"), "\(result.error)")
    #expect(flock(descriptor, LOCK_EX) == 0)
    let reader = try qtool.run(["inspect", demo.path])
    #expect(reader.status == 69, "\(reader.error)")
    #expect(shards.count == Self.shards)
  }
}
