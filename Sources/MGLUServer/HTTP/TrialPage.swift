#if Server
  /// The page at `/`: a prompt, what the model makes of it, and how fast. It loads nothing else.
  enum TrialPage {
    static let html = """
      <!doctype html>
      <html lang="en">
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <title>mglu</title>
      <style>
        :root { color-scheme: light dark }
        body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem }
        textarea, pre { box-sizing: border-box; width: 100%; font: 15px/1.5 ui-monospace, monospace }
        textarea { height: 8rem; padding: .5rem }
        pre { white-space: pre-wrap; overflow-wrap: anywhere; min-height: 6rem }
        pre b { font-weight: normal; opacity: .6 }
        form p { display: flex; flex-wrap: wrap; gap: 1rem; align-items: center }
        input { width: 5rem; font: inherit }
        input[type=password] { width: 9rem }
        button { font: inherit; padding: .2rem 1rem }
      </style>
      <h1 id="model">mglu</h1>
      <form id="form">
        <textarea id="prompt" aria-label="Prompt" placeholder="Text to continue"></textarea>
        <p>
          <label>Tokens <input id="tokens" type="number" min="1" value="128"></label>
          <label>Temperature <input id="temperature" type="number" min="0" step="0.1" value="0.8"></label>
          <label>API key <input id="key" type="password" autocomplete="off"></label>
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
        fetch('/v1/models', { headers: headers() }).then(r => r.json())
          .then(m => { if (m.data) $('model').textContent = m.data[0].id })
        let running
        $('form').onsubmit = async event => {
          event.preventDefault()
          if (running) return running.abort()
          running = new AbortController()
          $('go').textContent = 'Stop'
          const echo = document.createElement('b')
          echo.textContent = $('prompt').value
          $('text').replaceChildren(echo)
          $('rate').value = ''
          let count = 0, first = 0
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
                first ||= performance.now()
                const seconds = (performance.now() - first) / 1000
                if (count > 1 && seconds > 0)
                  $('rate').value = ((count - 1) / seconds).toFixed(1) + ' tokens/s'
              }
            }
          } catch (error) {
            if (error.name != 'AbortError') $('text').append('\\n' + error.message)
          }
          running = null
          $('go').textContent = 'Write'
        }
      </script>
      </html>
      """
  }
#endif
