#if Server
  /// The page at `/`: a prompt, what the model makes of it, and how fast. It loads nothing else.
  enum TrialPage {
    /// The page; it asks for a key where requests must carry one.
    static func html(needsKey: Bool) -> String {
      """
      <!doctype html>
      <html lang="en">
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <title>mglu</title>
      <link rel="icon" href="data:,">
      <style>
        :root { color-scheme: light dark; accent-color: #2563eb }
        body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem }
        h1 { font-size: 1.3rem; overflow-wrap: anywhere }
        textarea, pre { box-sizing: border-box; width: 100%; font: 15px/1.5 ui-monospace, monospace }
        textarea { height: 8rem; padding: .5rem }
        textarea, input, button { border: 1px solid #8888; border-radius: .35rem }
        pre { white-space: pre-wrap; overflow-wrap: anywhere }
        pre b { font-weight: normal; opacity: .6 }
        form p { display: flex; flex-wrap: wrap; gap: .75rem 1rem; align-items: center }
        input { box-sizing: border-box; width: 5rem; padding: .2rem .4rem; font: inherit }
        input[type=password] { width: 9rem }
        button { font: inherit; padding: .25rem 1.1rem; background: #2563eb; color: #fff; cursor: pointer }
        output { font-variant-numeric: tabular-nums }
        output.error { color: light-dark(#b91c1c, #fca5a5) }
        [hidden] { display: none }
      </style>
      <h1 id="model">mglu</h1>
      <form id="form">
        <textarea id="prompt" aria-label="Prompt" placeholder="Text to continue"></textarea>
        <p>
          <label>Tokens <input id="tokens" type="number" min="1" value="128"></label>
          <label>Temperature <input id="temperature" type="number" min="0" step="any" value="0.8"></label>
          <label\(needsKey ? "" : " hidden")>API key <input id="key" type="password" autocomplete="off"></label>
          <button id="go">Write</button>
          <output id="rate"></output>
        </p>
      </form>
      <pre id="text" aria-live="polite"></pre>
      <script>
        const $ = id => document.getElementById(id)
        const headers = () => ({
          'content-type': 'application/json',
          ...($('key').value ? { authorization: 'Bearer ' + $('key').value } : {}),
        })
        const show = (text, isError) => {
          $('rate').value = text
          $('rate').className = isError ? 'error' : ''
        }
        const tell = async () => {
          const reply = await fetch('/v1/models', { headers: headers() })
          if (reply.ok) $('model').textContent = (await reply.json()).data[0].id
        }
        if (!\(needsKey) || $('key').value) tell()
        $('key').onchange = tell
        $('prompt').onkeydown = event => {
          if (event.key == 'Enter' && (event.ctrlKey || event.metaKey)) $('form').requestSubmit()
        }
        let running
        $('form').onsubmit = async event => {
          event.preventDefault()
          if (running) return running.abort()
          running = new AbortController()
          $('go').textContent = 'Stop'
          const echo = document.createElement('b')
          echo.textContent = $('prompt').value
          $('text').replaceChildren(echo)
          show('')
          let count = 0, first = 0, skipped = 0
          const start = performance.now()
          try {
            const reply = await fetch('/v1/completions', {
              method: 'POST', headers: headers(), signal: running.signal,
              body: JSON.stringify({
                prompt: $('prompt').value, max_tokens: +$('tokens').value,
                temperature: +$('temperature').value, stream: true, logprobs: 0,
              }),
            })
            if (!reply.ok) throw new Error((await reply.json()).error.message)
            const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader()
            let rest = ''
            for (;;) {
              const { value, done } = await reader.read()
              if (done) break
              const lines = (rest + value).split('\\n')
              rest = lines.pop()
              for (const line of lines) {
                if (!line.startsWith('data: {')) continue
                const data = JSON.parse(line.slice(6))
                if (data.error) throw new Error(data.error.message)
                for (const choice of data.choices) {
                  $('text').append(choice.text)
                  count += choice.logprobs.tokens.length
                }
              }
              // A first part on its own says how long the prompt took, and does not count.
              const now = performance.now()
              if (!first) { first = now; skipped = count }
              const apart = now - first > 100
              const rate = apart ? (count - skipped) / (now - first) : count / (now - start)
              show((1000 * rate).toFixed(1) + ' tokens/s')
            }
          } catch (error) {
            if (error.name != 'AbortError') show(error.message, true)
          }
          running = null
          $('go').textContent = 'Write'
        }
      </script>
      </html>
      """
    }
  }
#endif
