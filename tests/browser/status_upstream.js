// status_upstream.js URL FOLDER: the status page while the upstream of the orders breaks and recovers: what
// stands there of its circuit, each time another word. Each look leaves a screenshot in FOLDER.
'use strict';
const { watch } = require('./watch.js');
const [url, folder] = process.argv.slice(2);

watch(async (page) => {
    const seen = [];
    await page.setViewportSize({ width: 1000, height: 500 });
    await page.goto(`${url}/status`);
    for (const [name, state] of [['before', 'closed'], ['broken', 'open'], ['after', 'closed']]) {
        const words = await page.waitForFunction((wanted) => {
            const line = document.querySelector('.upstream');
            return line && line.querySelector('span').textContent === wanted ? line.innerText : null;
        }, state);
        seen.push(await words.jsonValue());
        await page.screenshot({ path: `${folder}/upstream-${name}.png`, caret: 'initial' });
    }
    return { upstream: seen };
});
