import Foundation
import GGUF
import Perplexity
import Report
import Tensors
import TestSupport
import Testing

@Suite struct ReportPageTests {
  /// Six mixes of a model on five windows of each of four kinds of text, with made-up divergences: four mixes have no
  /// smaller one that is better.
  private func drift(text: String = "held-out.txt") throws -> DriftReport {
    let kinds = [("prose", 0.9), ("code", 1.4), ("chat", 0.8), ("other scripts", 1.9)]
    let windows = ScoringWindows(
      joining: try kinds.map { kind, _ in
        try ScoringWindows(
          tokens: (0..<320).map { Int32($0 % 9) }, context: 64, bos: nil, name: text, kind: kind)
      })
    let perKind = windows.rowCount / kinds.count
    let mixes = [
      ("demo-1.6MB.gguf", 1_598_720, 2.931, 0.1412), ("demo-Q2_K.gguf", 1_751_360, 3.21, 0.173),
      ("demo-2.1MB.gguf", 2_098_688, 3.884, 0.0401), ("demo-Q3_K_M.gguf", 2_160_000, 3.98, 0.0652),
      ("demo-Q4_K_M.gguf", 2_683_072, 4.998, 0.0101), ("demo-2.7MB.gguf", 2_696_448, 5.023, 0.00719),
    ]
    let drifts = mixes.map { name, bytes, bits, divergence -> (model: ModelSize, drift: Drift) in
      let divergences = (0..<windows.rowCount).map { row -> Double in
        let wave = 1 + 0.1 * Double(row % 3 - 1)
        return divergence * kinds[row / perKind].1 * wave
      }
      let drift = Drift(
        divergences: divergences, baseLosses: Array(repeating: 4.5, count: windows.rowCount),
        losses: Array(repeating: 4.5 + divergence, count: windows.rowCount),
        sameTops: (0..<windows.rowCount).map { $0 % 3 != 0 })
      return (model: ModelSize(name: name, bytes: bytes, bitsPerWeight: bits), drift: drift)
    }
    return DriftReport(
      base: DriftReport.Base(ModelSize(name: "demo-F16.gguf", bytes: 8_458_944, bitsPerWeight: 16)), windows: windows,
      drifts: drifts)
  }

  private func page(name: String = "demo-2.1MB.gguf") throws -> ReportPage {
    let tensors = (0..<3).flatMap { layer in
      [("attn_q", GGMLType.q4_K), ("ffn_down_exps", .iq1_s)].map { name, type in
        TensorInfo(name: "blk.\(layer).\(name).weight", shape: Shape([256, 64])!, type: type)
      }
    }
    return ReportPage(
      title: name,
      files: [
        .init(
          name: name, bytes: 2_098_688, tensors: tensors,
          metadata: ["general.architecture": .string("llama"), "quantize.imatrix.file": .string("a<b>.gguf")],
          recipe: "base: Q4_K")
      ],
      drifts: [try drift()],
      sensitivity: try SensitivityFindings(
        json: Data(#"{"model":"demo","entries":[{"tensor":"blk.0.attn_q.weight","coefficient":0.4}]}"#.utf8)),
      generator: "qtool",
      commands: .init(merge: { "join \($0) to \($1)" }, quantize: { "make MODEL by \($0)" }))
  }

  /// The page has commands of the program that makes it only where that gives some.
  @Test func showsTheProgramsCommands() throws {
    var page = try page(name: "demo-00001-of-00002.gguf")
    let html = try page.html()
    #expect(html.contains("join demo-00001-of-00002.gguf to demo-00001-of-00002.gguf"))
    #expect(html.contains("<code>make MODEL by mix.yaml</code> makes the mix"))
    page.commands = nil
    let bare = try page.html()
    #expect(bare.contains(": merge the shards to demo-00001-of-00002.gguf") && !bare.contains("mix.yaml"))
  }

  @Test func holdsEverythingAndLoadsNothing() throws {
    let html = try page().html()
    for text in [
      "Size against drift", "Bits by layer", "Where the bytes go", "Drift by kind of text", "The recipe", "Provenance",
      "Run it", "Sensitivity by layer", "demo-Q4_K_M.gguf", "base: Q4_K", "ollama create", "llama-cli -m",
      "blk.2.ffn_down_exps.weight: IQ1_S, 1.56 bits", "of 98,304 weights",
    ] {
      #expect(html.contains(text), "\(text)")
    }
    for text in ["http:", "https:", "src=", "@import", "url(", "<script"] { #expect(!html.contains(text), "\(text)") }
    #expect(try page().html() == html)
  }

  /// Three layers take no more room than they need, and their types are written into the cells.
  @Test func cellsOfFewLayersAreLabelled() throws {
    let html = try page().html()
    #expect(html.contains(#"<text class="inside" "#) && html.contains(">IQ1_S</text>"))
    for cell in html.matches(of: /<rect class="shade\d"[^>]* width="([0-9.]+)"/) {
      #expect(try #require(Double(cell.output.1)) <= 52)
    }
  }

  /// A name that ends at its dot can't run into it, however wide the reader's font is.
  @Test func namesOnTheLeftEndAtTheirDots() throws {
    let html = try page().html()
    #expect(html.contains(#"class="label" "#) && html.contains(#"text-anchor="end">demo-"#))
  }

  /// Names come from strangers' files.
  @Test func namesAreEscaped() throws {
    let html = try page(name: "<script>alert(1)</script>&\".gguf").html()
    #expect(!html.contains("<script") && html.contains("&lt;script&gt;"))
    #expect(html.contains("a&lt;b&gt;.gguf"))
  }

  /// As an XML parser sees it: every drawing is well-formed.
  @Test func drawingsAreWellFormed() throws {
    let html = try page(name: "a&b<c>.gguf").html()
    let drawings = html.components(separatedBy: "<svg").dropFirst().compactMap { part in
      part.range(of: "</svg>").map { "<svg" + part[..<$0.upperBound] }
    }
    #expect(drawings.count == 8)
    for drawing in drawings {
      #expect(!drawing.contains("nan") && !drawing.contains("inf\""))
      var depth = 0
      for tag in drawing.matches(of: /<(\/?)[a-z]+[^<>]*?(\/?)>/) {
        if tag.output.1.isEmpty && tag.output.2.isEmpty { depth += 1 }
        if !tag.output.1.isEmpty { depth -= 1 }
        #expect(depth >= 0)
      }
      #expect(depth == 0)
    }
  }

  /// Runs on the same text are one chart, and another text is a chart of its own.
  @Test func figuresOfOtherTextsStandApart() throws {
    let one = try drift()
    let other = try drift(text: "code.txt")
    func charts(_ drifts: [DriftReport]) throws -> Int {
      let page = ReportPage(title: "", files: [], drifts: drifts, sensitivity: nil, generator: "qtool")
      return try page.html().components(separatedBy: "<h2>Size against drift</h2>").count - 1
    }
    #expect(try charts([one, one]) == 1)
    #expect(try charts([one, other, one]) == 2)
  }

  @Test func aPageOfADriftRunAlone() throws {
    let page = ReportPage(title: "drift", files: [], drifts: [try drift()], sensitivity: nil, generator: "qtool")
    let html = try page.html()
    #expect(html.contains("Size against drift") && !html.contains("Bits by layer"))
    // Nothing smaller beats these four.
    #expect(html.components(separatedBy: "nothing smaller is better\"").count - 1 == 4)
  }
}
