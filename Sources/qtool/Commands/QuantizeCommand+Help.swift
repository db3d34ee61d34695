import ArgumentParser

extension QuantizeCommand {
  static let configuration = CommandConfiguration(
    commandName: "quantize",
    abstract: "Quantize a model to a size, or to a named mix.",
    usage: """
      qtool quantize <model> --target <size> -o <file> [<options>]
      qtool quantize <model> --fit <machine> -o <file> [<options>]
      qtool quantize <model> --type <name> -o <file> [<options>]
      qtool quantize <model> --preset <name> -o <file> [<options>]
      qtool quantize <model> --recipe <file> -o <file> [<options>]
      """,
    discussion: """
      --target chooses a type for every tensor so that the file is at most that size, with minimum drift. Sizes are \
      decimal (kB, MB, GB) or binary (KiB, MiB, GiB). --fit does the same for the memory of a machine less the KV cache \
      of a context. --type is a mix of llama-quantize (Q4_K_M, Q3_K_S, ...), COPY, or with --pure one type for all \
      matrices. --preset is a dynamic mix for the model's shapes (ud-iq1_s, ud-iq1_m, ud-iq2_xxs, ud-q2_k). --recipe \
      reads rules from a file.

        qtool quantize Llama-3.1-405B-Instruct --target 190GB \\
          -o Llama-3.1-405B-190GB.gguf
        qtool quantize Qwen2.5-72B --fit m4-max-64 --context 32k \\
          -o Qwen2.5-72B-64GB.gguf
        qtool quantize Qwen2.5-7B --type Q4_K_M \\
          --imatrix Qwen2.5-7B.imatrix.gguf -o Qwen2.5-7B-Q4_K_M.gguf
        qtool quantize DeepSeek-R1 --preset ud-iq1_s --floor 'attn_=Q5_K' \\
          -o DeepSeek-R1-UD-IQ1_S.gguf
      """)
}
