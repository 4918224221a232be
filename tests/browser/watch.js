// watch.js: one Chromium, one page, and everything that the page asks for or complains about.
'use strict';
const { chromium } = require('playwright-core');

// Calls act(page) and prints as JSON what it returned, and: requests, the URLs asked for; complaints, the
// errors that stand on the console or were thrown.
async function watch(act) {
    const browser = await chromium.launch({
        executablePath: process.env.CHROMIUM,
        args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
    });
    try {
        const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, locale: 'en-US' });
        const page = await context.newPage();
        page.setDefaultTimeout(Number(process.env.PATIENCE_MS));
        const requests = [], complaints = [];
        context.on('request', (request) => requests.push(request.url()));
        context.on('weberror', (error) => complaints.push(String(error.error())));
        context.on('console', (message) => {
            if (message.type() === 'error') complaints.push(message.text());
        });
        const seen = await act(page);
        console.log(JSON.stringify({ ...seen, requests, complaints }));
    } finally {
        await browser.close();
    }
}

module.exports = { watch };
