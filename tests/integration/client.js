// SPDX-License-Identifier: BSD-2-Clause
// node-coap on the command line: METHOD URI [OPTIONS as JSON], one JSON line per response or notification.
//   payload: text to send; options: [[name, value or bytes], ...]; observe: how many notifications to wait for
'use strict'
const coap = require('coap')

const [method, address, more] = process.argv.slice(2)
const { payload, options = [], observe = 0, confirmable = true } = JSON.parse(more || '{}')
const url = new URL(address)

// node-coap itself makes text of them.
coap.registerOption('ETag', bytes => bytes, bytes => bytes)

function print (message) {
  const optionText = Object.fromEntries((message.options || []).map(o =>
    [o.name, Buffer.isBuffer(o.value) ? o.value.toString('hex') : o.value]))
  const body = message.payload.toString()
  process.stdout.write(JSON.stringify({ code: message.code, payload: body, options: optionText }) + '\n')
}

// node-coap wants IPv6 addresses without brackets.
const request = coap.request({
  hostname: url.hostname.replace(/^\[|\]$/g, ''),
  port: url.port,
  pathname: url.pathname,
  query: url.search.slice(1),
  method: method.toUpperCase(),
  confirmable,
  observe: observe > 0
})
for (const [name, value] of options) request.setOption(name, Array.isArray(value) ? Buffer.from(value) : value)

request.on('response', response => {
  if (!observe) {
    print(response)
    process.exit(0)
  }
  let seen = 0
  response.on('data', data => {
    print({ code: response.code, payload: data, options: response.options })
    if (++seen === observe) {
      response.close()
      // Time to send the deregistration.
      setImmediate(() => process.exit(0))
    }
  })
})
request.on('error', error => {
  process.stderr.write(`${error}\n`)
  process.exit(1)
})
request.end(payload === undefined ? undefined : Buffer.from(payload))
